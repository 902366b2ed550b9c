"""An ONNX file beside its card: whether the server can read it, and whether it is what the card says.

`python -m services.inference.registration.onnx_file`: such files are foreign, and what reads them is C++, so a process
with limits of its own does it. A `Question` comes in on standard input, an `Inspection` goes out.
"""

import resource
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from onnx import defs
from pydantic import BaseModel, ConfigDict

from shared.class_names import METADATA_KEYS, ClassNamesUnreadable, Names, names_of_metadata
from shared.errors import Problems
from shared.model_card import ModelCard
from shared.tensors import Datatype, Tensor

_STANDARD, _LEARNING, _MICROSOFT = "", "ai.onnx.ml", "com.microsoft"
_DOMAINS = {_STANDARD: "ai.onnx", _LEARNING: _LEARNING, _MICROSOFT: _MICROSOFT}
_DATATYPES: dict[int, Datatype] = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
    onnx.TensorProto.STRING: "BYTES",
}
_MOST_UNKNOWN = 20


class Question(BaseModel):
    model_config = ConfigDict(frozen=True)

    path: str
    card: ModelCard
    max_ir_version: int
    max_opset: int
    memory_bytes: int
    cpu_seconds: int


class Inspection(BaseModel):
    """What is wrong, as pointer into the card, code and words; and the names the file's metadata gives its classes."""

    problems: tuple[tuple[str, str, str], ...] = ()
    names: Names | None = None
    names_problem: str | None = None


def inspect(question: Question) -> Inspection:
    problems = Problems()
    try:
        model = onnx.load(question.path, load_external_data=False)
    except Exception:  # the library's own exceptions, protobuf's, and more
        return Inspection(problems=(("", "not_onnx", "the file is no ONNX model"),))
    _check_versions(model, question, problems)
    _check_external_data(model, problems)
    _check_operators(model, problems)
    if not problems.errors:
        _check_whole(model, problems)
    if not problems.errors:
        _check_tensors(model, question.card, problems)
    found = tuple((one.pointer, one.code, one.detail) for one in problems.errors)
    try:
        return Inspection(problems=found, names=names_of_metadata(_metadata(model)))
    except ClassNamesUnreadable as error:
        return Inspection(problems=found, names_problem=str(error))


def _check_versions(model: Any, question: Question, problems: Problems) -> None:
    if model.ir_version > question.max_ir_version:
        detail = f"the file has IR version {model.ir_version}; the server reads up to {question.max_ir_version}"
        problems.add("", "ir_version_too_new", detail)
    for opset in model.opset_import:
        if _domain(opset.domain) == _STANDARD and opset.version > question.max_opset:
            detail = f"the file has opset {opset.version}; the server reads up to {question.max_opset}"
            problems.add("", "opset_too_new", detail)


def _check_external_data(model: Any, problems: Problems) -> None:
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        detail = "the file keeps weights in other files beside it; save it as one file"
        problems.add("", "external_data", detail)


def _check_operators(model: Any, problems: Problems) -> None:
    versions = {_domain(opset.domain): opset.version for opset in model.opset_import}
    own = {(_domain(function.domain), function.name) for function in model.functions}
    graphs = [model.graph, *model.functions]
    used = {(_domain(node.domain), node.op_type) for graph in graphs for node in _nodes(graph.node)}
    unknown = sorted(
        f"{_DOMAINS.get(domain, domain)}.{operator}"
        for domain, operator in used - own
        if not _is_known(domain, operator, versions)
    )
    if unknown:
        shown = ", ".join(unknown[:_MOST_UNKNOWN])
        problems.add("", "unknown_operators", f"the server does not know these operators of the file: {shown}")


def _is_known(domain: str, operator: str, versions: dict[str, int]) -> bool:
    if domain == _MICROSOFT:  # which of these the server has, it says itself when it loads the model
        return True
    if domain not in _DOMAINS or domain not in versions:
        return False
    try:
        return not defs.get_schema(operator, versions[domain], domain).deprecated
    except defs.SchemaError:
        return False


def _check_whole(model: Any, problems: Problems) -> None:
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # its own kind, and what its C++ throws
        first = str(error).strip().split("\n", maxsplit=1)[0]
        problems.add("", "invalid_onnx", f"the file is no valid ONNX model: {first}"[:500])


def _check_tensors(model: Any, card: ModelCard, problems: Problems) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in weights]
    for what, found, declared in (("input", given, card.inputs), ("output", model.graph.output, card.outputs)):
        by_name = {one.name: one for one in found}
        if what == "input" and set(by_name) - {tensor.name for tensor in declared}:
            problems.add("/inputs", "inputs_missing", f"the file has the inputs {sorted(by_name)}; name them all")
        for index, tensor in enumerate(declared):
            pointer = f"/{what}s/{index}"
            if tensor.name not in by_name:
                detail = f"the file has the {what}s {sorted(by_name)}, but no {tensor.name!r}"
                problems.add(f"{pointer}/name", f"unknown_{what}", detail)
            else:
                _compare(by_name[tensor.name], tensor, card, (pointer, what, problems))


def _compare(found: Any, tensor: Tensor, card: ModelCard, about: tuple[str, str, Problems]) -> None:
    pointer, what, problems = about
    kind = found.type.tensor_type
    datatype = _DATATYPES.get(kind.elem_type)
    if datatype != tensor.datatype:
        named = datatype or onnx.TensorProto.DataType.Name(kind.elem_type)
        detail = f"{what} {tensor.name!r} is {named} in the file, not {tensor.datatype}"
        problems.add(f"{pointer}/datatype", "wrong_datatype", detail)
    if not kind.HasField("shape") or not kind.shape.dim:
        detail = f"{what} {tensor.name!r} has no batch axis in the file"
        problems.add(f"{pointer}/shape", "no_batch_axis", detail)
        return
    batch, *sides = [side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim]
    if card.batch_axis == "free" and batch != -1:
        detail = (
            f"the first axis of {what} {tensor.name!r} is fixed at {batch} in the file: export it with a free batch "
            "axis, or, where it is 1, say `batch_axis: one` and `max_batch_size: 1`"
        )
        problems.add("/batch_axis", "no_free_batch_axis", detail)
    elif card.batch_axis == "one" and batch != 1:
        detail = f"the first axis of {what} {tensor.name!r} is not 1 in the file: say `batch_axis: free`"
        problems.add("/batch_axis", "batch_axis_not_one", detail)
    if not _fits(sides, tensor.shape, pinned=what == "input"):
        detail = f"{what} {tensor.name!r} has the shape {sides} in the file, not {list(tensor.shape)}"
        problems.add(f"{pointer}/shape", "wrong_shape", f"{detail} (without the batch axis)")


def _fits(found: Sequence[int], declared: Sequence[int], *, pinned: bool) -> bool:
    """An input may pin a side that is free in the file; an output is declared as the file has it."""
    return len(found) == len(declared) and all(
        have == want or (pinned and have == -1) for have, want in zip(found, declared, strict=True)
    )


def _metadata(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props if entry.key in METADATA_KEYS}


def _nodes(nodes: Any) -> Iterator[Any]:
    """With those of inner graphs."""
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        yield node
        for graph in _inner_graphs(node):
            waiting += graph.node


def _inner_graphs(node: Any) -> list[Any]:
    return [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) if graph.node]


def _tensors(graph: Any) -> Iterator[Any]:
    """Weights and constants, wherever they stand."""
    yield from graph.initializer
    for node in _nodes(graph.node):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
        for inner in _inner_graphs(node):
            yield from inner.initializer


def _domain(name: str) -> str:
    return _STANDARD if name == "ai.onnx" else name


def main() -> None:
    question = Question.model_validate_json(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_AS, (question.memory_bytes, question.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (question.cpu_seconds, question.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(inspect(question).model_dump_json())


if __name__ == "__main__":
    main()
