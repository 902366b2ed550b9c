"""Tensors through shared memory: the same answers as over gRPC, and gRPC wherever it does not work."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import numpy as np
import pytest
from onnx import helper
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.inference import sharing
from services.inference.failures import ModelAway
from services.inference.inputs.batch import BatchMemory
from services.inference.metrics import SHARES_MEMORY
from services.inference.shared_memory import FOLDER, PREFIX, SharedMemory
from services.inference.tensors import Array, BadModelOutput
from shared.model_card import BuiltModel
from shared.tensors import Tensor
from tests.support.loaded_models import graph, loaded
from tests.support.memory import client, noise, region_of
from tests.support.servers import MODELS
from tests.support.workers import MODEL
from tests.support.world import built_models


@asynccontextmanager
async def stub(url: str) -> AsyncIterator[Any]:
    """The protocol itself, to look at the server and to do to it what a restart does."""
    async with grpc.aio.insecure_channel(url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


async def registered(url: str) -> dict[str, int]:
    async with stub(url) as server:
        found = await server.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest(), timeout=10)
        return {name: region.byte_size for name, region in found.regions.items()}


async def forget(url: str, *names: str) -> None:
    """A region stays in use for a moment after the answer, and is not let go of before."""
    async with stub(url) as server, asyncio.timeout(20):
        for name in names:
            while name in await registered(url):
                with suppress(grpc.RpcError):
                    await server.SystemSharedMemoryUnregister(
                        service_pb2.SystemSharedMemoryUnregisterRequest(name=name), timeout=10
                    )
                await asyncio.sleep(0.05)


async def both_ways(url: str, memory: SharedMemory, built: BuiltModel, inputs: Mapping[str, Array]) -> None:
    """The answers are equal, and the second way was through shared memory."""
    async with client(url, memory) as shared, client(url, None) as plain:
        expected = await plain.infer(built.triton_name, built.card, inputs)
        found = await shared.infer(built.triton_name, built.card, inputs)
        assert found.keys() == expected.keys()
        for name, output in expected.items():
            np.testing.assert_allclose(found[name], output, rtol=1e-3, atol=1e-4)
        assert SHARES_MEMORY.labels(url)._value.get() == 1
        assert region_of(memory, inputs) in await registered(url)


async def test_pictures_give_the_same_answers_both_ways(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["classify-efficientnet"]
    await both_ways(triton_url, memory, built, noise(built.card, memory))


async def test_large_outputs_are_written_where_they_are_read(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["segment-person"]
    inputs = noise(built.card, memory)
    await both_ways(triton_url, memory, built, inputs)
    async with client(triton_url, memory) as shared, client(triton_url, None) as plain:
        found = await shared.infer(built.triton_name, built.card, inputs)
        expected = await plain.infer(built.triton_name, built.card, inputs)
        assert memory.place(found["mask"]) is not None
        assert memory.place(expected["mask"]) is None
        again = await shared.infer(built.triton_name, built.card, noise(built.card, memory, seed=2))
        assert memory.place(again["mask"]) != memory.place(found["mask"])
        np.testing.assert_allclose(found["mask"], expected["mask"], atol=1)


@pytest.mark.parametrize("shape", [(128, 128), (512, 256), (256,), (65_536,)])
async def test_another_shape_than_was_made_room_for_is_bad(
    triton_url: str, memory: SharedMemory, shape: tuple[int, ...]
) -> None:
    built = built_models(MODELS)["segment-person"]
    other = built.card.model_copy(update={"outputs": (Tensor(name="mask", datatype="UINT8", shape=shape),)})
    async with client(triton_url, memory) as shared:
        inputs = noise(built.card, memory, rows=16)
        await shared.infer(built.triton_name, built.card, inputs)
        with pytest.raises(BadModelOutput):
            await shared.infer(built.triton_name, other, inputs)


async def test_several_inputs_lie_side_by_side(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["embed-minilm"]
    await both_ways(triton_url, memory, built, noise(built.card, memory, rows=16, side=256))


async def test_an_input_that_lies_elsewhere_is_sent_beside_the_others(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["embed-minilm"]
    inputs = noise(built.card, memory, rows=16, side=256)
    inputs["input_ids"] = inputs["input_ids"].copy()
    await both_ways(triton_url, memory, built, inputs)


async def test_texts_are_sent_and_come_back_as_they_are(triton_url: str, memory: SharedMemory) -> None:
    card = MODEL.card.model_copy(
        update={
            "slug": "says-it-again",
            "inputs": (_texts("text"),),
            "outputs": (_texts("said"),),
            "backend": "onnxruntime",
        }
    )
    file = graph(card, [helper.make_node("Identity", ["text"], ["said"])])
    given = [b"", b"one", "größer \U0001f600".encode(), b"long " * 30_000]
    inputs = BatchMemory(4, memory).room({"text": "BYTES"}, {"text": (1,)})
    inputs["text"][:, 0] = given
    async with loaded(triton_url, card, file) as built, client(triton_url, memory) as shared:
        outputs = await shared.infer(built.triton_name, card, inputs)
    assert outputs["said"][:, 0].tolist() == given
    assert not memory.sizes()


def _texts(name: str) -> Tensor:
    return Tensor(name=name, datatype="BYTES", shape=(1,))


async def test_parts_of_a_batch_are_read_where_they_lie(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["classify-efficientnet"]
    inputs = noise(built.card, memory)
    async with client(triton_url, memory) as shared:
        (whole,) = (await shared.infer(built.triton_name, built.card, inputs)).values()
        for part in (slice(0, 3), slice(3, None), slice(5, 6)):
            some = {name: array[part] for name, array in inputs.items()}
            (output,) = (await shared.infer(built.triton_name, built.card, some)).values()
            np.testing.assert_allclose(output, whole[part], rtol=1e-3, atol=1e-4)


async def test_a_server_that_forgot_is_told_again_and_no_call_fails(
    triton_url: str, memory: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_STEADY_SECONDS", 0)
    built = built_models(MODELS)["classify-efficientnet"]
    inputs = noise(built.card, memory)
    region = region_of(memory, inputs)
    async with client(triton_url, memory) as shared:
        (expected,) = (await shared.infer(built.triton_name, built.card, inputs)).values()
        await forget(triton_url, region)
        answers = await asyncio.gather(
            *(shared.infer(built.triton_name, built.card, inputs) for _ in range(4)), return_exceptions=True
        )
        for answer in answers:
            assert not isinstance(answer, BaseException), answer
            np.testing.assert_allclose(answer["probabilities"], expected, rtol=1e-3, atol=1e-4)
        await shared.infer(built.triton_name, built.card, inputs)
        assert region in await registered(triton_url)
        assert SHARES_MEMORY.labels(triton_url)._value.get() == 1


async def test_a_server_that_forgets_at_once_is_several_and_is_sent_everything(
    triton_url: str, memory: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_STEADY_SECONDS", 3600)
    built = built_models(MODELS)["classify-efficientnet"]
    inputs = noise(built.card, memory)
    async with client(triton_url, memory) as shared:
        await shared.infer(built.triton_name, built.card, inputs)
        await forget(triton_url, region_of(memory, inputs))
        await shared.infer(built.triton_name, built.card, inputs)
        assert shared.memory is None
        assert SHARES_MEMORY.labels(triton_url)._value.get() == 0


@pytest.mark.parametrize("model", ["classify-efficientnet", "segment-person"])
async def test_a_call_without_an_answer_never_meets_the_next_batch(
    triton_url: str, memory: SharedMemory, model: str
) -> None:
    built = built_models(MODELS)[model]
    first, second = noise(built.card, memory, rows=16, seed=1), noise(built.card, memory, rows=16, seed=2)
    async with client(triton_url, memory) as shared, client(triton_url, memory, 0.02) as hurried:
        (expected,) = (await shared.infer(built.triton_name, built.card, second)).values()
        del second
        hurried._sharing = shared._sharing  # that knows already that the server reads it
        region = region_of(memory, first)
        content = (FOLDER / region).read_bytes()
        with pytest.raises(ModelAway):
            await hurried.infer(built.triton_name, built.card, first)
        del first
        for _ in range(3):
            again = noise(built.card, memory, rows=16, seed=2)
            assert region_of(memory, again) != region
            (found,) = (await shared.infer(built.triton_name, built.card, again)).values()
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
            del again
        assert (FOLDER / region).read_bytes() == content, "what the late call reads is what it was given"


async def test_a_cancelled_call_keeps_its_region_from_others(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["classify-efficientnet"]
    inputs = noise(built.card, memory, rows=16)
    async with client(triton_url, memory) as shared:
        await shared.infer(built.triton_name, built.card, inputs)
        call = asyncio.create_task(shared.infer(built.triton_name, built.card, inputs))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        region = region_of(memory, inputs)
        del inputs, call
        assert region_of(memory, noise(built.card, memory, rows=16)) != region


async def test_a_client_that_ends_takes_back_what_it_registered(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["classify-efficientnet"]
    inputs = noise(built.card, memory)
    async with client(triton_url, memory) as shared:
        await shared.infer(built.triton_name, built.card, inputs)
        assert region_of(memory, inputs) in await registered(triton_url)
    assert region_of(memory, inputs) not in await registered(triton_url)


async def test_what_a_killed_process_registered_is_given_back(triton_url: str, memory: SharedMemory) -> None:
    built = built_models(MODELS)["classify-efficientnet"]
    left = f"{PREFIX}1-{'0' * 16}"
    file = FOLDER / left
    file.write_bytes(bytes(4096))
    try:
        async with stub(triton_url) as server:
            await server.SystemSharedMemoryRegister(
                service_pb2.SystemSharedMemoryRegisterRequest(name=left, key=f"/{left}", byte_size=4096), timeout=10
            )
    finally:
        file.unlink()
    assert left in await registered(triton_url)
    async with client(triton_url, memory) as shared:
        await shared.infer(built.triton_name, built.card, noise(built.card, memory))
    assert left not in await registered(triton_url)
