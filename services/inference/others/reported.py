"""Whether what a server of the Open Inference Protocol reports of a model is what the card says."""

from collections.abc import Iterator, Sequence

from services.inference.reports import Metadata, ReportedTensor
from shared.errors import FieldError
from shared.model_card import ModelCard
from shared.tensors import Tensor


def metadata_problems(metadata: Metadata, card: ModelCard) -> list[FieldError]:
    """Pointers lead into the card. The server may leave any side free that the card fixes, and the other way round."""
    unnamed = {one.name for one in metadata.inputs} - {tensor.name for tensor in card.inputs}
    found = [
        *_differences("input", metadata.inputs, card.inputs),
        *_differences("output", metadata.outputs, card.outputs),
    ]
    if unnamed:
        detail = f"the server reports the inputs {sorted(one.name for one in metadata.inputs)}; name them all"
        found.append(FieldError("/inputs", "inputs_missing", detail))
    return found


def _differences(what: str, reported: Sequence[ReportedTensor], declared: Sequence[Tensor]) -> Iterator[FieldError]:
    by_name = {one.name: one for one in reported}
    for index, tensor in enumerate(declared):
        pointer, found = f"/{what}s/{index}", by_name.get(tensor.name)
        if found is None:
            detail = f"the server reports the {what}s {sorted(by_name)}, but no {tensor.name!r}"
            yield FieldError(f"{pointer}/name", f"unknown_{what}", detail)
            continue
        if found.datatype != tensor.datatype:
            detail = f"{what} {tensor.name!r} is {found.datatype} on the server, not {tensor.datatype}"
            yield FieldError(f"{pointer}/datatype", "wrong_datatype", detail)
        if not _fits(found.shape[1:], tensor.shape):
            detail = f"{what} {tensor.name!r} has the shape {list(found.shape)} on the server, batch axis first"
            yield FieldError(f"{pointer}/shape", "wrong_shape", f"{detail}, and {list(tensor.shape)} in the card")


def _fits(reported: Sequence[int], declared: Sequence[int]) -> bool:
    return len(reported) == len(declared) and all(
        -1 in (have, want) or have == want for have, want in zip(reported, declared, strict=True)
    )
