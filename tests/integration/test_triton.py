"""The one module that knows tritonclient, on the real server: what it raises is sorted by what can be done about it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from services.inference.failures import ModelAway, ModelRejected
from services.inference.tensors import Array, BadModelOutput
from services.inference.triton import Triton
from shared.model_card import BuiltModel, ModelCard
from shared.tensors import Tensor
from tests.support.servers import MODELS
from tests.support.waiting import until
from tests.support.world import built_models


@pytest.fixture
async def triton(triton_url: str) -> AsyncIterator[Triton]:
    client = Triton(triton_url, 20)
    yield client
    await client.close()


@pytest.fixture
def classifier() -> BuiltModel:
    return built_models(MODELS)["classify-efficientnet"]


def pictures(count: int, side: int = 224) -> dict[str, Array]:
    return {"images": np.zeros((count, side, side, 3), np.uint8)}


def saying(card: ModelCard, **output: Any) -> ModelCard:
    """The card, were its output another one than the model's."""
    tensor = {"name": "probabilities", "datatype": "FP32", "shape": (1000,), **output}
    return card.model_copy(update={"outputs": (Tensor.model_validate(tensor),)})


@pytest.mark.parametrize("count", [1, 3, 32])
async def test_one_answer_a_row(triton: Triton, classifier: BuiltModel, count: int) -> None:
    outputs = await triton.infer(classifier.triton_name, classifier.card, pictures(count))
    assert outputs["probabilities"].shape == (count, 1000)
    assert outputs["probabilities"].sum(axis=1) == pytest.approx(np.ones(count), abs=1e-3)


async def test_the_digest_is_that_of_the_card(triton: Triton, classifier: BuiltModel) -> None:
    assert await triton.digest(classifier.triton_name) == classifier.digest
    states = await triton.states()
    assert states[classifier.triton_name][0] == "READY"


@pytest.mark.parametrize(
    "output",
    [{"shape": (999,)}, {"shape": (1000, 1)}, {"shape": ()}, {"datatype": "INT32"}, {"datatype": "FP16"}],
)
async def test_another_output_than_the_card_says_is_bad(
    triton: Triton, classifier: BuiltModel, output: dict[str, Any]
) -> None:
    with pytest.raises(BadModelOutput, match="probabilities"):
        await triton.infer(classifier.triton_name, saying(classifier.card, **output), pictures(2))


async def test_a_free_side_may_have_any_length(triton: Triton, classifier: BuiltModel) -> None:
    outputs = await triton.infer(classifier.triton_name, saying(classifier.card, shape=(-1,)), pictures(2))
    assert outputs["probabilities"].shape == (2, 1000)


@pytest.mark.parametrize(("count", "side"), [(1, 100), (33, 224)])
async def test_what_the_model_does_not_take_is_rejected(
    triton: Triton, classifier: BuiltModel, count: int, side: int
) -> None:
    with pytest.raises(ModelRejected):
        await triton.infer(classifier.triton_name, classifier.card, pictures(count, side))


async def test_an_output_that_the_model_does_not_have_is_rejected(triton: Triton, classifier: BuiltModel) -> None:
    with pytest.raises(ModelRejected):
        await triton.infer(classifier.triton_name, saying(classifier.card, name="other"), pictures(1))


async def test_an_unknown_model_may_come(triton: Triton, classifier: BuiltModel) -> None:
    with pytest.raises(ModelAway):
        await triton.infer("not-there", classifier.card, pictures(1))
    with pytest.raises(ModelAway):
        await triton.digest("not-there")
    with pytest.raises((ModelAway, ModelRejected)):
        await triton.load("not-there")


async def test_a_call_has_a_deadline(triton_url: str, classifier: BuiltModel) -> None:
    hurried = Triton(triton_url, 0.001)
    with pytest.raises(ModelAway):
        await hurried.infer(classifier.triton_name, classifier.card, pictures(32))
    await hurried.close()


async def test_a_server_that_is_away_may_come(classifier: BuiltModel) -> None:
    nowhere = Triton("127.0.0.1:1", 1)
    for call in (
        nowhere.infer(classifier.triton_name, classifier.card, pictures(1)),
        nowhere.digest(classifier.triton_name),
        nowhere.states(),
    ):
        with pytest.raises(ModelAway):
            await call
    await nowhere.close()


async def test_a_server_that_says_nothing_does_not_hang(classifier: BuiltModel) -> None:
    connected: list[asyncio.StreamWriter] = []

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        await asyncio.sleep(3)

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    client = Triton(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.5)
    with pytest.raises(ModelAway):
        await client.infer(classifier.triton_name, classifier.card, pictures(1))
    await client.close()
    await until(lambda: bool(connected))
    for writer in connected:
        writer.close()
    server.close()


async def test_a_model_is_loaded_anew(triton: Triton, classifier: BuiltModel) -> None:
    await triton.reload(classifier.triton_name)
    outputs = await triton.infer(classifier.triton_name, classifier.card, pictures(1))
    assert outputs["probabilities"].shape == (1, 1000)
