"""A Triton that lies: hands every call on to a real one, and spoils the answers to inference as a test wants it.

What it refuses, it refuses with the status it was told; the rest goes through byte for byte, both ways.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Spoil = Callable[[Any, Sequence[int]], None]
"""Changes a `ModelInferResponse`; the numbers are the places of the marked rows in the batch."""
Before = Callable[[Sequence[bytes]], Awaitable[None]]
"""Sees the texts of every batch before it is handed on. May wait, or raise Refuse."""


class Refuse(Exception):
    def __init__(self, status: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


async def _nothing(texts: Sequence[bytes]) -> None:
    del texts


class FaultyTriton:
    """Honest until `before` or `spoils` is set. A row whose text holds the mark of a spoil spoils its whole batch."""

    def __init__(self) -> None:
        self.address = ""
        self.before: Before = _nothing
        self.spoils: Mapping[bytes, Spoil] = {}
        self.injected = 0
        self.traceparents: list[str] = []
        """What inferences carried in their metadata."""
        self._channel: Any = None

    def connect(self, upstream: str) -> None:
        """Whom it hands on to, from now on."""
        self._channel = grpc.aio.insecure_channel(upstream, options=_NO_LIMIT)

    def heal(self) -> None:
        self.before, self.spoils, self.injected = _nothing, {}, 0

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=_NO_LIMIT)
        self._server.add_generic_rpc_handlers((_Everything(self._answer),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(grace=None)
        if self._channel is not None:
            await self._channel.close()

    async def _answer(self, method: str, request: bytes, context: Any) -> bytes:
        try:
            if method == _INFER:
                self.traceparents += [one.value for one in context.invocation_metadata() if one.key == "traceparent"]
                return await self._infer(request)
            answer: bytes = await self._channel.unary_unary(method)(request, timeout=context.time_remaining())
        except Refuse as refused:
            self.injected += 1
            await context.abort(refused.status, refused.detail)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details())
        return answer

    async def _infer(self, request: bytes) -> bytes:
        texts = _texts(service_pb2.ModelInferRequest.FromString(request))
        await self.before(texts)
        answer: bytes = await self._channel.unary_unary(_INFER)(request)
        found = next((mark for text in texts for mark in self.spoils if mark in text), None)
        if found is None:
            return answer
        self.injected += 1
        changed = service_pb2.ModelInferResponse.FromString(answer)
        self.spoils[found](changed, [place for place, text in enumerate(texts) if found in text])
        spoiled: bytes = changed.SerializeToString()
        return spoiled


class _Everything(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, answer: Callable[[str, bytes, Any], Awaitable[bytes]]) -> None:
        self._answer = answer

    def service(self, details: Any) -> Any:
        async def handle(request: bytes, context: Any) -> bytes:
            return await self._answer(details.method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)


def _texts(request: Any) -> tuple[bytes, ...]:
    """Of the first tensor of texts, as rows of bytes; none when the request has no such tensor."""
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=False):
        if tensor.datatype == "UINT8":
            rows, length = tensor.shape
            return tuple(raw[row * length : (row + 1) * length].rstrip(b"\0") for row in range(rows))
    return ()


# --- how an answer may be spoiled -----------------------------------------------------------------------------------


def _outputs(answer: Any, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    for place, output in enumerate(answer.outputs):
        array = np.frombuffer(answer.raw_output_contents[place], np.float32).reshape(output.shape)
        changed = np.ascontiguousarray(change(array), np.float32)
        output.shape[:] = changed.shape
        answer.raw_output_contents[place] = changed.tobytes()


def _another_shape(answer: Any, marked: Sequence[int]) -> None:
    del marked
    _outputs(answer, lambda array: np.concatenate([array, array[:, :1]], axis=1))


def _a_row_too_few(answer: Any, marked: Sequence[int]) -> None:
    _outputs(answer, lambda array: np.delete(array, marked[0], axis=0))


def _a_row_too_many(answer: Any, marked: Sequence[int]) -> None:
    _outputs(answer, lambda array: np.insert(array, marked[0], array[marked[0]], axis=0))


def _not_a_number(answer: Any, marked: Sequence[int]) -> None:
    def change(array: NDArray[np.float32]) -> NDArray[np.float32]:
        changed = array.copy()
        changed[list(marked)] = np.nan
        return changed

    _outputs(answer, change)


def _truncated(answer: Any, marked: Sequence[int]) -> None:
    """Fewer bytes than the shape says, and not a whole number of values."""
    del marked
    answer.raw_output_contents[0] = answer.raw_output_contents[0][:-3]


def _fewer_values(answer: Any, marked: Sequence[int]) -> None:
    del marked
    answer.raw_output_contents[0] = answer.raw_output_contents[0][:-4]


def _another_type(answer: Any, marked: Sequence[int]) -> None:
    del marked
    answer.outputs[0].datatype = "INT32"


def _no_such_type(answer: Any, marked: Sequence[int]) -> None:
    del marked
    answer.outputs[0].datatype = "FP13"


def _another_name(answer: Any, marked: Sequence[int]) -> None:
    del marked
    answer.outputs[0].name = "somebody"


def _no_bytes(answer: Any, marked: Sequence[int]) -> None:
    del marked
    del answer.raw_output_contents[:]


def _no_outputs(answer: Any, marked: Sequence[int]) -> None:
    del marked
    answer.Clear()


SPOILS: Mapping[str, Spoil] = {
    "another shape": _another_shape,
    "a row too few": _a_row_too_few,
    "a row too many": _a_row_too_many,
    "not a number": _not_a_number,
    "truncated": _truncated,
    "fewer values": _fewer_values,
    "another type": _another_type,
    "no such type": _no_such_type,
    "another name": _another_name,
    "no bytes": _no_bytes,
    "no outputs": _no_outputs,
}
"""By name. To add one: write it above, and name it here."""


def late(seconds: float, batches: int) -> Before:
    """So many of the next batches are answered so much later."""
    left = batches

    async def wait(texts: Sequence[bytes]) -> None:
        nonlocal left
        del texts
        if left:
            left -= 1
            await asyncio.sleep(seconds)

    return wait


def refusing(status: grpc.StatusCode, detail: str, *, mark: bytes = b"", batches: int = -1) -> Before:
    """Batches with such a text are refused; with a number, only so many of them."""
    left = batches

    async def refuse(texts: Sequence[bytes]) -> None:
        nonlocal left
        if left and any(mark in text for text in texts):
            left -= 1
            raise Refuse(status, detail)

    return refuse
