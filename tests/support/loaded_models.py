"""Small models made for a test, on the real Triton while it lasts: they answer what can be foretold of their input."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import onnx
import tritonclient.grpc.aio as grpcclient
from onnx import TensorProto, helper

from shared.model_card import BuiltModel, ModelCard, model_digest, triton_config
from shared.tensors import Tensor
from tests.support.servers import MODELS

_ONNX = {"UINT8": TensorProto.UINT8, "INT64": TensorProto.INT64, "FP32": TensorProto.FLOAT, "BYTES": TensorProto.STRING}


def graph(card: ModelCard, nodes: Sequence[Any], constants: Sequence[Any] = ()) -> bytes:
    """An ONNX file with the card's inputs and outputs, and a free batch axis."""
    made = helper.make_graph(
        nodes, card.slug, [_value(one) for one in card.inputs], [_value(one) for one in card.outputs], constants
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _value(tensor: Tensor) -> Any:
    shape = ["batch", *(f"{tensor.name}_{axis}" if side == -1 else side for axis, side in enumerate(tensor.shape))]
    return helper.make_tensor_value_info(tensor.name, _ONNX[tensor.datatype], shape)


@asynccontextmanager
async def loaded(triton_url: str, card: ModelCard, file: bytes, **files: bytes) -> AsyncIterator[BuiltModel]:
    """In the repository of the session's Triton, and loaded. `files` are JSON files beside it, by their stems."""
    contents = {"model.onnx": file, **{f"{stem}.json": content for stem, content in files.items()}}
    built = BuiltModel(digest=model_digest(card, contents), card=card)
    folder, client = MODELS / "repository" / built.triton_name, grpcclient.InferenceServerClient(triton_url)
    shutil.rmtree(folder, ignore_errors=True)  # left behind by a test that was killed
    (folder / "1").mkdir(parents=True)
    for name, content in contents.items():
        (folder / "1" / name).write_bytes(content)
    (folder / "config.pbtxt").write_text(triton_config(built))
    try:
        await client.load_model(built.triton_name)
        yield built
        await client.unload_model(built.triton_name)
    finally:
        shutil.rmtree(folder)
        await client.close()
