"""Servers of others by what they speak. To add one: write its file, open it here."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.inference.failures import ModelUnusable
from services.inference.others.base import OtherServer
from services.inference.others.label_studio import LabelStudioBackend
from services.inference.others.lending import Lending
from services.inference.others.open_inference import OpenInference
from services.inference.shared_memory import SharedMemory
from services.inference.triton import Triton
from shared.served_at import ServedAt


@dataclass(frozen=True, slots=True)
class LabelStudioBackends:
    """Those that the operator allows, and what asking them takes."""

    allowed: Sequence[str]
    deadline_seconds: float
    lending: Lending


class Others:
    """One client an address."""

    def __init__(
        self,
        allowed: Sequence[str],
        deadline_seconds: float,
        memory: SharedMemory | None = None,
        backends: LabelStudioBackends | None = None,
    ) -> None:
        self._allowed = frozenset(allowed)
        self._deadline = deadline_seconds
        self._memory = memory
        self._backends = backends
        self._open: dict[str, OtherServer] = {}

    def at(self, where: ServedAt) -> OtherServer:
        """Raises ModelUnusable for an address that the operator does not allow, or no longer does."""
        if where.address not in self._open:
            self._open[where.address] = (
                self._label_studio(where) if where.is_label_studio else self._open_inference(where)
            )
        return self._open[where.address]

    async def close(self) -> None:
        for server in self._open.values():
            await server.close()

    def _open_inference(self, where: ServedAt) -> OtherServer:
        if where.address not in self._allowed:
            raise ModelUnusable(f"the operator does not allow models at {where.address}")
        return OpenInference(Triton(where.address, self._deadline, memory=self._memory))

    def _label_studio(self, where: ServedAt) -> OtherServer:
        allowed = {one.rstrip("/") for one in self._backends.allowed} if self._backends else set()
        if self._backends is None or where.address not in allowed:
            raise ModelUnusable(f"the operator does not allow Label Studio backends at {where.address}")
        return LabelStudioBackend(where.address, self._backends.deadline_seconds, self._backends.lending)


__all__ = ["LabelStudioBackends", "Lending", "OtherServer", "Others"]
