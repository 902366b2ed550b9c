"""What a server of others is asked, whatever it speaks."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.inference.shared_memory import SharedMemory
from services.inference.tensors import Array
from shared.errors import FieldError
from shared.model_card import ModelCard
from shared.served_at import Pin, ServedAt


class OtherServer(Protocol):
    """Of one address. Raises PartAway when it does not answer, ModelRejected or BadModelOutput for what it answers."""

    @property
    def memory(self) -> SharedMemory | None:
        """Where batches for it are best prepared."""
        ...

    async def ready(self, where: ServedAt) -> bool: ...

    async def problems(self, where: ServedAt, card: ModelCard) -> Sequence[FieldError]:
        """Where what it reports is not what the card says; pointers lead into the card."""
        ...

    async def pin(self, where: ServedAt, card: ModelCard) -> Pin: ...

    async def difference(self, where: ServedAt, card: ModelCard, pin: Pin) -> str | None:
        """From what it was at registration, in words."""
        ...

    async def infer(
        self, where: ServedAt, card: ModelCard, inputs: Mapping[str, Array], pin: Pin | None
    ) -> dict[str, Array]:
        """One array for each output of the card, first axis the batch. Raises ModelUnusable too, for an answer that
        says itself that it is of another model."""
        ...

    async def close(self) -> None: ...
