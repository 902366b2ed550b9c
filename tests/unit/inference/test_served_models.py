"""What a claim needs of its model: a tokenizer read once, criteria embedded once, and reasons when it cannot be had."""

from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np
import pytest

from services.inference import decoders
from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.failures import ModelAway, ModelRejected, ModelUnusable, PartAway
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.served_models import ServedModels
from services.inference.servers import Servers
from services.inference.tensors import Array, BadModelOutput
from services.inference.triton import Triton
from shared.errors import Unavailable
from shared.model_card import ModelCard
from shared.model_files import model_file_key
from shared.object_store import ObjectStore
from shared.run_configuration import RunConfiguration
from tests.support.cards import built, card
from tests.support.tokenizers import word_pieces

CRITERIA = {"short": "a", "names": "ada charles"}
DIGESTS: dict[str, str] = {}
"""Of the models that were configured, by their names at Triton."""


class _Embeddings(Parameters):
    vectors: str = "embedding"


def _decode(
    model: ServedModel, parameters: _Embeddings, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    raise NotImplementedError("criteria alone are embedded here")


@pytest.fixture(autouse=True)
def _a_decoder_of_criteria(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its own, so that only what lies around it is looked at."""
    own = Decoder(1, _Embeddings, _decode, embed=lambda parameters, outputs: outputs[parameters.vectors])
    monkeypatch.setitem(cast(dict[str, Decoder], decoders.DECODERS), "embeddings", own)


class Store(ObjectStore):
    """The real one, that counts and may be away."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.read = 0
        self.away = False

    async def get(self, key: str, max_bytes: int) -> bytes:
        self.read += 1
        if self.away:
            raise Unavailable("the object store cannot be reached")
        return await super().get(key, max_bytes)


class Embedder:
    """Counts each token of a text; may fail instead, or be another version."""

    def __init__(self, failure: Exception | None = None, version: str | None = None) -> None:
        self.failure = failure
        self.version = version
        self.calls: list[int] = []

    async def digest(self, model: str) -> str:
        return self.version or DIGESTS[model]

    async def instances(self, model: str) -> int:
        del model
        return 1

    async def infer(self, model: str, card: ModelCard, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self.failure is not None:
            raise self.failure
        self.calls.append(len(inputs["input_ids"]))
        return {
            "embedding": np.stack([np.bincount(row, minlength=30) for row in inputs["input_ids"]]).astype(np.float32)
        }


def reader(**changes: Any) -> ModelCard:
    names = ("input_ids", "attention_mask")
    wanted: dict[str, Any] = {
        "media_type": "text",
        "task": "zero_shot_classification",
        "inputs": [{"name": name, "datatype": "INT64", "shape": [-1]} for name in names],
        "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [30]}],
        "preprocessing": {"kind": "tokenized"},
        "decoder": {"name": "embeddings"},
    }
    classes: Sequence[str] = changes.pop("classes", ())
    return card("embeds", "classification", classes, **{**wanted, **changes})


def configured(model: ModelCard, criteria: Mapping[str, str] | None = None) -> RunConfiguration:
    made = built(model)
    DIGESTS[made.triton_name] = made.digest
    return RunConfiguration(
        catalog_model_id=uuid4(),
        digest=made.digest,
        triton_model=made.triton_name,
        card=model,
        floor=model.floor,
        ontology_version=1,
        criteria=dict(criteria or {}),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}")


@pytest.fixture
async def threads() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


async def with_tokenizer(store: Store, model: ModelCard, content: bytes = b"") -> None:
    await store.put(model_file_key(built(model).digest, "tokenizer.json"), content or word_pieces())


def served_by(store: Store, triton: Embedder, threads: ThreadPoolExecutor) -> ServedModels:
    return ServedModels(store, Servers(cast(Triton, triton)), threads)


async def test_a_closed_model_needs_nothing(store: Store, threads: ThreadPoolExecutor) -> None:
    model = card("finder", "bounding_box", ["cat", "dog"])
    found = await served_by(store, Embedder(), threads).served(configured(model))
    assert (found.card, found.classes, found.tokenizer) == (model, ("cat", "dog"), None)
    assert store.read == 0


async def test_a_tokenizer_is_read_once(store: Store, threads: ThreadPoolExecutor) -> None:
    model = reader(classes=["a"], decoder={"name": "classification"})
    await with_tokenizer(store, model)
    models = served_by(store, Embedder(), threads)
    first, second = [await models.served(configured(model)) for _ in range(2)]
    assert first.tokenizer is second.tokenizer is not None
    assert store.read == 1


async def test_criteria_become_classes_with_a_vector_each(store: Store, threads: ThreadPoolExecutor) -> None:
    model, triton = reader(), Embedder()
    await with_tokenizer(store, model)
    found = await served_by(store, triton, threads).served(configured(model, CRITERIA))
    assert found.classes == ("short", "names")
    assert found.vocabulary.embeddings is not None
    assert found.vocabulary.embeddings.shape == (2, 30)
    assert np.linalg.norm(found.vocabulary.embeddings, axis=1) == pytest.approx([1, 1])
    # [PAD] 0, [CLS] 2, [SEP] 3; `a` is 10, `ada` and `charles` are 4 and 5.
    assert [set(np.flatnonzero(row)) for row in found.vocabulary.embeddings] == [{0, 2, 3, 10}, {0, 2, 3, 4, 5}]


async def test_a_criterion_is_embedded_once(store: Store, threads: ThreadPoolExecutor) -> None:
    model, triton = reader(max_batch_size=2), Embedder()
    await with_tokenizer(store, model)
    models = served_by(store, triton, threads)
    first = await models.served(configured(model, CRITERIA))
    assert triton.calls == [2]
    again = await models.served(configured(model, {"other name": "a", "new": "in london", "twice": "a"}))
    assert triton.calls == [2, 1], "only the text that was not known"
    assert first.vocabulary.embeddings is not None
    assert again.vocabulary.embeddings is not None
    assert (again.vocabulary.embeddings[[0, 2]] == first.vocabulary.embeddings[0]).all()
    many = {f"n{n}": "a " * n for n in range(1, 6)}
    await models.served(configured(model, many))
    assert triton.calls[2:] == [2, 2, 1], "no more at once than the model takes"


async def test_classes_of_the_card_are_criteria_when_none_are_given(store: Store, threads: ThreadPoolExecutor) -> None:
    model = reader(classes=["ada", "london"])
    await with_tokenizer(store, model)
    assert (await served_by(store, Embedder(), threads).served(configured(model))).classes == ("ada", "london")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(ModelRejected("too large"), "too large"), (BadModelOutput("NaN"), "NaN")],
)
async def test_a_model_that_does_not_take_the_criteria_is_unusable(
    store: Store, threads: ThreadPoolExecutor, failure: Exception, reason: str
) -> None:
    model = reader()
    await with_tokenizer(store, model)
    with pytest.raises(ModelUnusable, match=reason):
        await served_by(store, Embedder(failure), threads).served(configured(model, CRITERIA))


async def test_another_version_is_not_asked_for_vectors(store: Store, threads: ThreadPoolExecutor) -> None:
    """They would be kept as this one's."""
    model, triton = reader(), Embedder(version="another")
    await with_tokenizer(store, model)
    models = served_by(store, triton, threads)
    with pytest.raises(ModelUnusable, match="another version"):
        await models.served(configured(model, CRITERIA))
    assert triton.calls == []
    triton.version = None
    await models.served(configured(model, CRITERIA))
    assert triton.calls == [2]


async def test_what_is_away_may_come(store: Store, threads: ThreadPoolExecutor) -> None:
    model = reader()
    await with_tokenizer(store, model)
    with pytest.raises(ModelAway):
        await served_by(store, Embedder(ModelAway("reloads")), threads).served(configured(model, CRITERIA))
    store.away = True
    with pytest.raises(PartAway):
        await served_by(store, Embedder(), threads).served(configured(model, CRITERIA))


@pytest.mark.parametrize("criteria", [{}, {"long": "x" * 1_000_001}])
async def test_criteria_that_cannot_be_used_say_so(
    store: Store, threads: ThreadPoolExecutor, criteria: dict[str, str]
) -> None:
    model = reader()
    await with_tokenizer(store, model)
    with pytest.raises(ModelUnusable, match="criteri"):
        await served_by(store, Embedder(), threads).served(configured(model, criteria))


async def test_a_tokenizer_that_is_gone_or_broken_says_so(store: Store, threads: ThreadPoolExecutor) -> None:
    gone, broken = reader(), reader(version="2")
    await with_tokenizer(store, broken, b"{}")
    for model in (gone, broken):
        with pytest.raises(ModelUnusable, match=r"tokenizer\.json"):
            await served_by(store, Embedder(), threads).served(configured(model, CRITERIA))


def test_vectors_must_be_vectors() -> None:
    for wrong in (np.zeros((2, 3)), np.ones((2, 3, 4)), np.ones(2), np.ones((3, 3)), np.full((2, 3), np.nan)):
        with pytest.raises(BadModelOutput):
            decoders.embed_batch(reader(), {"embedding": wrong}, 2)
