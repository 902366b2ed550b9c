"""Tensors as bytes: the layout of the protocol, and answers that are not what the card says."""

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from services.inference.shared_memory import Extent
from services.inference.sharing import Shared
from services.inference.tensors import NUMPY_TYPES, Array, BadModelOutput, Said, content_of, read_output
from services.inference.wire import described, head_of, request_of
from shared.tensors import Datatype, Tensor
from tests.support.workers import MODEL


def tensor(datatype: Datatype = "FP32", shape: tuple[int, ...] = (2,)) -> Tensor:
    return Tensor(name="out", datatype=datatype, shape=shape)


def texts(*given: bytes) -> Array:
    array = np.empty((len(given), 1), np.object_)
    array[:, 0] = given
    return array


@pytest.mark.parametrize("given", [[b""], [b"a", b"", "größer".encode() * 500], []])
def test_texts_are_laid_out_as_the_client_library_does(given: list[bytes]) -> None:
    array = texts(*given)
    content = content_of(array)
    expected = serialize_byte_tensor(array)
    assert bytes(content) == (expected.item() if expected.size else b"")
    assert list(deserialize_bytes_tensor(bytes(content))) == given
    said = Said("BYTES", array.shape, bytes(content))
    assert (read_output(said, tensor("BYTES", (1,)), len(given)) == array).all()


@pytest.mark.parametrize("datatype", [name for name in NUMPY_TYPES if name != "BYTES"])
def test_numbers_come_back_as_they_went(datatype: Datatype) -> None:
    array = np.arange(12).reshape(3, 4)[:, ::2].astype(NUMPY_TYPES[datatype])
    content = bytes(content_of(array[:, ::-1]))
    assert content == array[:, ::-1].tobytes()
    read = read_output(Said(datatype, (3, 2), content), tensor(datatype), 3)
    assert read.dtype == array.dtype
    assert (read == array[:, ::-1]).all()


FLOATS = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "missing"),
        (Said("FP32", (3, 2), None), "missing"),
        (Said("FP32", (2, 2), FLOATS[:2].tobytes()), "shape"),
        (Said("FP32", (3, 3), FLOATS.tobytes()), "shape"),
        (Said("FP32", (), FLOATS.tobytes()), "shape"),
        (Said("INT32", (3, 2), FLOATS.tobytes()), "INT32"),
        (Said("FP32", (3, 2), FLOATS.tobytes()[:-1]), "23 bytes"),
        (Said("FP32", (3, 2), FLOATS.tobytes() + b"\0\0\0\0"), "28 bytes"),
        (Said("FP32", (3, 2), b""), "0 bytes"),
        (Said("FP32", (3, 2), np.zeros(5, np.float32)), "5 values"),
        (Said("FP32", (3, 2), np.full((3, 2), np.nan, np.float32).tobytes()), "NaN"),
        (Said("FP32", (3, 2), np.full((3, 2), -np.inf, np.float32).tobytes()), "NaN or infinity"),
    ],
)
def test_another_answer_than_the_card_says_is_bad(said: Said | None, words: str) -> None:
    with pytest.raises(BadModelOutput, match=words):
        read_output(said, tensor(), 3)


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: raw[:6], lambda _: b""])
def test_cut_texts_are_bad(change: Any) -> None:
    raw = bytes(content_of(texts(b"one", b"two")))
    with pytest.raises(BadModelOutput, match="cut"):
        read_output(Said("BYTES", (2, 1), change(raw)), tensor("BYTES", (1,)), 2)


def test_a_request_is_one_the_protocol_knows() -> None:
    inputs = {"a": np.arange(300, dtype=np.int64).reshape(2, 150), "b": texts(b"x", b"yy")}
    card = MODEL.card.model_copy(
        update={
            "inputs": (
                Tensor(name="a", datatype="INT64", shape=(-1,)),
                Tensor(name="c", datatype="UINT8", shape=(8,)),
                Tensor(name="b", datatype="BYTES", shape=(1,)),
            ),
            "outputs": (
                Tensor(name="out", datatype="FP32", shape=(2,)),
                Tensor(name="more", datatype="UINT8", shape=(9,)),
            ),
        }
    )
    inputs["c"] = np.zeros((2, 8), np.uint8)
    shared = Shared({"c": Extent("region-1", 64, 16)}, {}, {"more": Extent("region-2", 0, 18)})
    head = head_of("model", "3")
    read = service_pb2.ModelInferRequest.FromString(request_of(head, card, inputs, shared))
    assert (read.model_name, read.model_version) == ("model", "3")
    assert [output.name for output in read.outputs] == ["out", "more"]
    assert [(one.name, one.datatype, list(one.shape)) for one in read.inputs] == [
        ("a", "INT64", [2, 150]),
        ("c", "UINT8", [2, 8]),
        ("b", "BYTES", [2, 1]),
    ]
    assert [_placed(one) for one in read.inputs] == [None, ("region-1", 64, 16), None]
    assert [_placed(one) for one in read.outputs] == [None, ("region-2", 0, 18)]
    assert len(read.raw_input_contents) == 2
    assert read.raw_input_contents[0] == inputs["a"].tobytes()
    assert read.raw_input_contents[1] == bytes(content_of(inputs["b"]))


def _placed(tensor: Any) -> tuple[str, int, int] | None:
    said = tensor.parameters
    if not said:
        return None
    place = (said["shared_memory_region"].string_param, said["shared_memory_offset"].int64_param)
    return (*place, said["shared_memory_byte_size"].int64_param)


def test_an_output_without_contents_is_what_was_written() -> None:
    given = answer(("out", "FP32", [3, 2]), ("more", "FP32", [3, 2]), raw=[b"", FLOATS.tobytes()])
    said = described(given, {"out": FLOATS + 1})
    assert (read_output(said["out"], tensor(), 3) == FLOATS + 1).all()
    with pytest.raises(BadModelOutput, match="0 bytes"):
        read_output(described(given, {})["out"], tensor(), 3)
    cut = answer(("out", "FP32", [2, 2]), raw=[b""])
    with pytest.raises(BadModelOutput, match="shape"):
        read_output(described(cut, {"out": FLOATS})["out"], tensor(), 3)


def answer(*outputs: tuple[str, str, list[int]], raw: list[bytes]) -> Any:
    kind = service_pb2.ModelInferResponse.InferOutputTensor
    tensors = [kind(name=name, datatype=datatype, shape=shape) for name, datatype, shape in outputs]
    return service_pb2.ModelInferResponse(outputs=tensors, raw_output_contents=raw)


def test_outputs_that_cannot_be_told_apart_are_bad() -> None:
    with pytest.raises(BadModelOutput, match="1 contents for 2 outputs"):
        described(answer(("a", "UINT8", [1]), ("b", "UINT8", [1]), raw=[b"x"]), {})
    with pytest.raises(BadModelOutput, match="twice"):
        described(answer(("a", "UINT8", [1]), ("a", "UINT8", [1]), raw=[b"x", b"y"]), {})


def test_servers_that_are_no_triton_may_answer_with_values() -> None:
    given = answer(("out", "FP32", [3, 2]), raw=[])
    given.outputs[0].contents.fp32_contents.extend(FLOATS.ravel().tolist())
    assert (read_output(described(given, {})["out"], tensor(), 3) == FLOATS).all()
    del given.outputs[0].contents.fp32_contents[-1]
    with pytest.raises(BadModelOutput, match="5 values"):
        read_output(described(given, {})["out"], tensor(), 3)
