"""The models as a worker uses them, without a database."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from tempfile import TemporaryDirectory
from uuid import UUID

from services.inference.decoders import decode_batch
from services.inference.decoders.base import Found
from services.inference.inputs import prepare_batch
from services.inference.inputs.batch import PreparedBatch
from services.inference.inputs.content import Content
from services.inference.served_model import ServedModel
from services.inference.served_models import ServedModels
from services.inference.servers import Servers
from services.inference.triton import Triton
from shared.ids import new_id
from shared.model_card import BuiltModel
from shared.model_files import files_for_workers, model_file_key
from shared.object_store import ObjectStore
from shared.run_configuration import RunConfiguration
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

    async def served(self, slug: str, criteria: Mapping[str, str] | None = None) -> ServedModel:
        """As a worker has it for a run; an open-ended model needs criteria."""
        built = self.model(slug)
        configuration = RunConfiguration(
            catalog_model_id=new_id(),
            digest=built.digest,
            triton_model=built.triton_name,
            card=built.card,
            floor=built.card.floor,
            ontology_version=1,
            criteria=dict(criteria or {}),
        )
        with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as threads:
            store = ObjectStore(f"file://{folder}")
            for name in files_for_workers(built.card):
                content = (MODELS / "repository" / built.triton_name / "1" / name).read_bytes()
                await store.put(model_file_key(built.digest, name), content)
            return await ServedModels(store, Servers(self.triton), threads).served(configuration)

    async def find(self, slug: str, contents: Sequence[bytes], threshold: float = 0.0) -> list[list[Found]]:
        """One list for each content, in order, of what is at least so sure."""
        found = await self.find_by(await self.served(slug), contents)
        return [[one for one in row if one.confidence >= threshold] for row in found]

    async def find_by(self, served: ServedModel, contents: Sequence[bytes]) -> list[list[Found]]:
        built, found = self.model(served.card.slug), []
        for some in _by(built.card.max_batch_size, contents):
            by_row: dict[UUID, list[Found]] = {}
            for batch in prepared(served, some):
                outputs = await self.triton.infer(built.triton_name, built.card, batch.tensors)
                rows = decode_batch(served, outputs, [row.placement for row in batch.rows])
                by_row |= {row.content.data_row_id: one for row, one in zip(batch.rows, rows, strict=True)}
            found += [by_row[UUID(int=place)] for place in range(len(some))]
        return found

    async def close(self) -> None:
        await self.triton.close()


def prepared(served: ServedModel, contents: Sequence[bytes]) -> list[PreparedBatch]:
    """A batch for each shape, none of the contents bad; a row's id is its place among them."""
    rows = [Content(UUID(int=place), body, b"", first_read=False) for place, body in enumerate(contents)]
    batches = prepare_batch(served, rows).batches()
    assert sum(len(batch.rows) for batch in batches) == len(contents)
    return batches


def _by(size: int, contents: Sequence[bytes]) -> Iterator[list[bytes]]:
    left = iter(contents)
    while some := list(islice(left, size)):
        yield some
