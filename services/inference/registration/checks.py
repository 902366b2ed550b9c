"""The stage `checking`: the file in a process of its own, names and decoder. Gives the card as it will be stored."""

import asyncio
import contextlib
import math
import os
import sys
from collections.abc import Mapping
from typing import IO

import numpy as np
from pydantic import ValidationError

from services.inference.decoders import DECODERS, decode_batch, embed_batch, token_classification
from services.inference.inputs.placement import Placement
from services.inference.registration.onnx_file import Inspection, Question
from services.inference.registration.refusal import ModelRefused
from services.inference.served_model import ServedModel
from services.inference.settings import InferenceSettings
from services.inference.tensors import NUMPY_TYPES, BadModelOutput
from shared.annotations import Canvas
from shared.class_names import ClassNamesUnreadable, Names, names_of_config, names_of_labels_file
from shared.errors import FieldError
from shared.model_card import CardProblems, ClassesFrom, ModelCard
from shared.model_files import CONFIG, LABELS

_MEMORY_BESIDE, _COPIES_OF_FILE = 2 * 1024**3, 6
_LARGEST_DRY_RUN = 16 * 1024 * 1024
_LONGEST_ANSWER = 64 * 1024 * 1024


async def inspect_apart(file: IO[bytes], card: ModelCard, settings: InferenceSettings) -> Inspection:
    """Raises ModelRefused when the file takes more memory or time to read than a model may, or breaks its reader."""
    seconds = settings.onnx_check_seconds
    question = Question(
        path=f"/dev/fd/{file.fileno()}",
        card=card,
        max_ir_version=settings.onnx_max_ir_version,
        max_opset=settings.onnx_max_opset,
        memory_bytes=_MEMORY_BESIDE + _COPIES_OF_FILE * os.fstat(file.fileno()).st_size,
        cpu_seconds=math.ceil(seconds),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.inference.registration.onnx_file",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=(file.fileno(),),
        # A thread for each core would reserve memory that is not used.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    try:
        async with asyncio.timeout(seconds):
            answer, _ = await process.communicate(question.model_dump_json().encode())
    except TimeoutError as error:
        raise ModelRefused(f"the file could not be read within {seconds:g} seconds") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0 or len(answer) > _LONGEST_ANSWER:
        raise ModelRefused("the file cannot be read: the reader broke, or ran out of memory or time")
    return Inspection.model_validate_json(answer)


def settled_card(card: ModelCard, inspection: Inspection, files: Mapping[str, bytes]) -> ModelCard:
    """The card with its classes, and where they are from. Raises ModelRefused with all that is wrong."""
    errors = [FieldError(*problem) for problem in inspection.problems]
    try:
        settled = card if card.classes or card.open_ended else _with_names(card, inspection, files)
        errors += decoder_problems(settled)
    except ModelRefused as refused:
        errors += refused.errors
    if errors:
        raise ModelRefused.because(errors)
    return settled


def _with_names(card: ModelCard, inspection: Inspection, files: Mapping[str, bytes]) -> ModelCard:
    try:
        source, names = _find_names(inspection, files)
    except ClassNamesUnreadable as error:
        raise ModelRefused.because([FieldError("/classes", "classes_unreadable", str(error))]) from error
    named = {**card.model_dump(), "classes": names, "classes_from": source}
    if card.decoder.name == "token_classification":
        named |= _of_tokens(card, names)
    try:
        return ModelCard.model_validate(named)
    except ValidationError as error:
        raise ModelRefused.because(_problems_of(error, source)) from error


def _of_tokens(card: ModelCard, labels: Names) -> dict[str, object]:
    """The names in a token classifier's file are those of its labels; its classes are the entities among them."""
    parameters = {"labels": list(labels), **card.decoder.parameters}
    outside = str(parameters.get("outside", "O"))
    return {
        "classes": token_classification.entities(labels, outside),
        "decoder": {"name": card.decoder.name, "parameters": parameters},
    }


def _find_names(inspection: Inspection, files: Mapping[str, bytes]) -> tuple[ClassesFrom, Names]:
    if LABELS in files:
        return "labels_file", names_of_labels_file(files[LABELS])
    if inspection.names_problem:
        raise ClassNamesUnreadable(inspection.names_problem)
    if inspection.names:
        return "onnx_metadata", inspection.names
    names = names_of_config(files[CONFIG]) if CONFIG in files else None
    if names:
        return "id2label", names
    raise ClassNamesUnreadable(
        "the names of the classes are nowhere: not in the card, labels.txt, the file's metadata or id2label"
    )


def _problems_of(error: ValidationError, source: str) -> list[FieldError]:
    found: list[FieldError] = []
    for one in error.errors():
        cause = one.get("ctx", {}).get("error")
        if isinstance(cause, CardProblems):
            found += cause.errors
        else:
            found.append(FieldError("/classes", one["type"], f"class names from {source}: {one['msg']}"))
    return found


def decoder_problems(card: ModelCard) -> list[FieldError]:
    """Whether there is such a decoder, and whether its parameters and the card's outputs and classes fit it."""
    decoder = DECODERS.get(card.decoder.name)
    if decoder is None:
        detail = f"there is no decoder {card.decoder.name!r}; there are: {', '.join(sorted(DECODERS))}"
        return [FieldError("/decoder/name", "unknown_decoder", detail)]
    try:
        decoder.parameters.model_validate(card.decoder.parameters)
    except ValidationError as error:
        return [
            FieldError("/decoder/parameters" + "".join(f"/{part}" for part in one["loc"]), one["type"], one["msg"])
            for one in error.errors()
        ]
    try:
        _dry_run(card)
    except BadModelOutput as error:
        return [FieldError("/outputs", "outputs_do_not_fit", f"decoder {card.decoder.name!r}: {error}")]
    return []


def _dry_run(card: ModelCard) -> None:
    """Decode outputs of the shapes that the card fixes. Where a side is free, the probe will tell."""
    sizes = [side for tensor in card.outputs for side in tensor.shape]
    if -1 in sizes or any(tensor.datatype == "BYTES" for tensor in card.outputs):
        return
    if sum(math.prod(tensor.shape) for tensor in card.outputs) > _LARGEST_DRY_RUN:
        return
    if card.media_type != "image" and not card.open_ended and card.annotation_kind != "classification":
        return  # decoders of entities look at tokens, which are not there yet
    outputs = {tensor.name: np.zeros((1, *tensor.shape), NUMPY_TYPES[tensor.datatype]) for tensor in card.outputs}
    if card.open_ended:
        embed_batch(card, {name: output + 1 for name, output in outputs.items()}, 1)
    else:
        decode_batch(ServedModel.closed(card), outputs, [Placement(Canvas(width=64, height=64))])
