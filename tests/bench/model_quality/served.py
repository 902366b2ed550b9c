"""The models as a worker uses them, without a database."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from services.inference.decoders import decode_batch
from services.inference.decoders.base import Found
from services.inference.inputs import prepare_batch
from services.inference.inputs.batch import PreparedBatch
from services.inference.inputs.content import Content
from services.inference.served_model import ServedModel
from services.inference.triton import Triton
from shared.ids import new_id
from shared.model_card import BuiltModel
from tests.support.servers import MODELS
from tests.support.world import built_models


@dataclass(frozen=True)
class Figure:
    """`figure` and `method` as they stand in the card; `numbers` all that was counted."""

    model: str
    figure: str
    method: str
    numbers: dict[str, float] = field(default_factory=dict)


class Bench:
    def __init__(self, triton_url: str, triton_pid: int) -> None:
        self.triton = Triton(triton_url, 120)
        self.triton_pid = triton_pid
        self._models = built_models(MODELS)

    def model(self, slug: str) -> BuiltModel:
        return self._models[slug]

    async def find(self, slug: str, contents: Sequence[bytes], threshold: float = 0.0) -> list[list[Found]]:
        """One list for each content, in order, of what is at least so sure."""
        built = self.model(slug)
        served, found = ServedModel.closed(built.card), []
        for some in _by(built.card.max_batch_size, contents):
            batch = prepared(served, some)
            outputs = await self.triton.infer(built.triton_name, built.card, batch.tensors)
            found += decode_batch(served, outputs, [row.placement for row in batch.rows])
        return [[one for one in row if one.confidence >= threshold] for row in found]

    async def close(self) -> None:
        await self.triton.close()


def prepared(served: ServedModel, contents: Sequence[bytes]) -> PreparedBatch:
    """Contents of one shape, none of them bad."""
    rows = [Content(new_id(), body, hashlib.sha256(body).digest(), first_read=False) for body in contents]
    (batch,) = prepare_batch(served, rows).batches()
    assert len(batch.rows) == len(contents)
    return batch


def _by(size: int, contents: Sequence[bytes]) -> Iterator[list[bytes]]:
    left = iter(contents)
    while some := list(islice(left, size)):
        yield some
