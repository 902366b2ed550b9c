"""Tensors through shared memory: the same answers as over gRPC, and gRPC wherever it does not work."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from onnx import helper
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.inference import sharing
from services.inference.inputs.batch import BatchMemory
from services.inference.metrics import SHARES_MEMORY
from services.inference.shared_memory import FOLDER, PREFIX, SharedMemory
from services.inference.triton import Array, BadModelOutput, ModelAway, Triton
from shared.model_card import BuiltModel, ModelCard
from shared.tensors import Tensor
from tests.support.loaded_models import graph, loaded
from tests.support.servers import MODELS
from tests.support.workers import MODEL
from tests.support.world import built_models

_MOST_BYTES = 64 * 1024 * 1024
_ROWS = 8


@pytest.fixture
async def memory() -> AsyncIterator[SharedMemory]:
    found = SharedMemory(_MOST_BYTES)
    yield found
    found.close()


@asynccontextmanager
async def client(url: str, memory: SharedMemory | None, deadline_seconds: float = 20) -> AsyncIterator[Triton]:
    found = Triton(url, deadline_seconds, memory=memory)
    try:
        yield found
    finally:
        await found.close()


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


def noise(
    card: ModelCard, memory: SharedMemory, rows: int = _ROWS, seed: int = 1, side: int = 4096
) -> dict[str, Array]:
    """Inputs as a batch prepares them; `side` is the length of what is free."""
    random = np.random.default_rng(seed)
    batch = BatchMemory(rows, memory)
    datatypes = {tensor.name: tensor.datatype for tensor in card.inputs}
    shapes = {tensor.name: tuple(side if one == -1 else one for one in tensor.shape) for tensor in card.inputs}
    slots = batch.room(datatypes, shapes)
    for tensor in card.inputs:
        slots[tensor.name][...] = random.integers(
            0, 2 if tensor.name.endswith("mask") else 200, slots[tensor.name].shape
        )
    return slots


def region_of(memory: SharedMemory, inputs: Mapping[str, Array]) -> str:
    (region,) = {place.region for array in inputs.values() if (place := memory.place(array))}
    return region


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


# --- servers that do not read our memory ------------------------------------------------------------------------------


class Elsewhere(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers for each row with the sum of its bytes; of shared memory it knows as much as `register` lets it."""

    def __init__(self, register: grpc.StatusCode | None) -> None:
        self.register = register
        self.registrations = 0
        self.by_region = 0
        self.regions: set[str] = set()
        self.refusals = 0

    async def ModelInfer(self, request: Any, _: Any) -> Any:
        rows = request.inputs[0].shape[0]
        sums = np.zeros((rows, 2), np.float32)
        if request.raw_input_contents:
            sums[:, 0] = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(rows, -1).sum(axis=1)
        else:
            self.by_region += 1
        output = service_pb2.ModelInferResponse.InferOutputTensor(name="sums", datatype="FP32", shape=[rows, 2])
        return service_pb2.ModelInferResponse(outputs=[output], raw_output_contents=[sums.tobytes()])

    async def SystemSharedMemoryRegister(self, request: Any, context: Any) -> Any:
        self.registrations += 1
        if self.register is not None:
            await context.abort(self.register, "Unable to open shared memory region")
        self.regions.add(request.name)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryStatus(self, *_: Any) -> Any:
        return service_pb2.SystemSharedMemoryStatusResponse()

    async def SystemSharedMemoryUnregister(self, request: Any, context: Any) -> Any:
        if self.refusals:
            self.refusals -= 1
            await context.abort(grpc.StatusCode.INTERNAL, "it is currently in use")
        self.regions.discard(request.name)
        return service_pb2.SystemSharedMemoryUnregisterResponse()


@asynccontextmanager
async def serving(servicer: Elsewhere) -> AsyncIterator[str]:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


SUMS = MODEL.card.model_copy(
    update={
        "inputs": (MODEL.card.inputs[0].model_copy(update={"name": "bytes", "datatype": "UINT8", "shape": (-1,)}),),
        "outputs": (MODEL.card.outputs[0].model_copy(update={"name": "sums", "shape": (2,)}),),
    }
)


@pytest.mark.parametrize(
    ("register", "asked"),
    [
        (grpc.StatusCode.INTERNAL, 0),
        (grpc.StatusCode.INVALID_ARGUMENT, 0),
        (grpc.StatusCode.UNIMPLEMENTED, 0),
        (None, 1),  # it says that it can, and reads something else
    ],
)
async def test_a_server_that_does_not_see_our_memory_is_sent_everything(
    memory: SharedMemory, register: grpc.StatusCode | None, asked: int
) -> None:
    elsewhere = Elsewhere(register)
    async with serving(elsewhere) as url, client(url, memory) as shared:
        inputs = noise(SUMS, memory, side=100_000)
        for _ in range(3):
            found = await shared.infer("any", SUMS, inputs)
            assert (found["sums"][:, 0] == inputs["bytes"].sum(axis=1, dtype=np.float32)).all()
        # The second is of the room for the one answer.
        assert (elsewhere.registrations, elsewhere.by_region) == (1 + asked, asked)
        assert shared.memory is None, "the next batches are prepared elsewhere"
        assert SHARES_MEMORY.labels(url)._value.get() == 0


async def test_a_region_that_is_still_in_use_is_taken_back_a_moment_later(memory: SharedMemory) -> None:
    elsewhere = Elsewhere(None)
    inputs = noise(SUMS, memory, side=100_000)
    inputs["bytes"][...] = 0  # of which it says the same whether it sees it or not
    async with serving(elsewhere) as url:
        async with client(url, memory) as shared:
            await shared.infer("any", SUMS, inputs)
            assert region_of(memory, inputs) in elsewhere.regions
            elsewhere.refusals = 5
        assert not elsewhere.regions
        assert elsewhere.refusals == 0


async def test_a_server_that_is_away_is_asked_again_later(memory: SharedMemory) -> None:
    elsewhere = Elsewhere(grpc.StatusCode.UNAVAILABLE)
    async with serving(elsewhere) as url, client(url, memory) as shared:
        await shared.infer("any", SUMS, noise(SUMS, memory, side=100_000))
        assert shared.memory is memory, "nothing was found out"


async def test_a_folder_that_is_not_the_servers_is_refused(triton_url: str, tmp_path: Path) -> None:
    """As in a container of its own: the file is there, but not for the server."""
    built, memory = built_models(MODELS)["classify-efficientnet"], SharedMemory(_MOST_BYTES, tmp_path)
    inputs = noise(built.card, memory)
    async with client(triton_url, memory) as shared, client(triton_url, None) as plain:
        found = await shared.infer(built.triton_name, built.card, inputs)
        expected = await plain.infer(built.triton_name, built.card, inputs)
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], rtol=1e-3, atol=1e-4)
        assert shared.memory is None
    memory.close()
