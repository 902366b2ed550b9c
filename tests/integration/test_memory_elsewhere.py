"""Servers that do not read our memory are sent everything, in the messages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.inference.metrics import SHARES_MEMORY
from services.inference.shared_memory import SharedMemory
from tests.support.memory import MOST_BYTES, client, noise, region_of
from tests.support.servers import MODELS
from tests.support.workers import MODEL
from tests.support.world import built_models


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
    built, memory = built_models(MODELS)["classify-efficientnet"], SharedMemory(MOST_BYTES, tmp_path)
    inputs = noise(built.card, memory)
    async with client(triton_url, memory) as shared, client(triton_url, None) as plain:
        found = await shared.infer(built.triton_name, built.card, inputs)
        expected = await plain.infer(built.triton_name, built.card, inputs)
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], rtol=1e-3, atol=1e-4)
        assert shared.memory is None
    memory.close()
