"""What every pixel shows: one mask for each class that is somewhere in the image."""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.masks import Grid, Region, mask_of, over_image, seen, strips
from services.inference.decoders.objects import frame_of
from services.inference.decoders.scores import ACTIVATION, Activation, activated
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput

Layer: TypeAlias = tuple[int, float, Array]
"""The number of a class that is there, its confidence, and its pixels among those of the region that was seen."""

_LAYOUT = (
    "`chw`: one plane of scores for each class; `hwc`: the classes last; `hw`: one plane, of the only class; "
    "`numbers`: one plane (or one of depth 1) of class numbers"
)


class SemanticMaskParameters(Parameters):
    """The confidence of a mask is the mean score of its class over the pixels of the mask; 1 for class numbers, which
    have no scores.

    The planes cover the model's input and may be coarser. Scores are interpolated to the pixels of the image before the
    classes are compared; class numbers are taken from the nearest cell. A class that wins no cell of the model's own
    planes is not there. What the model says of a letterbox's ground is not used.
    """

    output: str = Field("masks", description="the output")
    layout: Literal["chw", "hwc", "hw", "numbers"] = Field("chw", description=_LAYOUT)
    activation: Activation = Field("none", description=ACTIVATION)
    scale: float = Field(1.0, gt=0, description="what scores are multiplied by first, as 1/255 for UINT8")
    exclusive: bool = Field(True, description="a pixel is of its surest class; else of every class from `threshold` on")
    threshold: float = Field(0.5, gt=0, le=1, description="from which score on a pixel is of a class; not if exclusive")
    background: int | None = Field(
        None, ge=0, description="the model's number for nothing; the card's classes are the others, in their order"
    )


def decode(
    model: ServedModel, parameters: SemanticMaskParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    rows = outputs[parameters.output]
    return [_row(model, parameters, rows[index], placement) for index, placement in enumerate(placements)]


def _row(model: ServedModel, parameters: SemanticMaskParameters, raw: Array, placement: Placement) -> list[Found]:
    if parameters.layout == "numbers":
        layers = _by_number(model, parameters, raw, placement)
    else:
        layers = _by_score(model, parameters, _planes(model, parameters, raw), placement)
    region = seen(placement, frame_of(model))
    found = []
    for number, confidence, pixels in layers:
        mask = mask_of(pixels, region, placement.canvas) if confidence >= model.card.floor else None
        if mask is not None:
            found.append(Found(model.classes[_class(number, parameters)], confidence, mask))
    found.sort(key=lambda one: -one.confidence)
    return found[: model.card.max_detections]


def _planes(model: ServedModel, parameters: SemanticMaskParameters, raw: Array) -> Array:
    """Confidences, classes x rows x columns, FP32; the background among them."""
    wanted = len(model.classes) + (parameters.background is not None)
    scores = raw[..., None] if parameters.layout == "hw" else raw
    if parameters.layout == "chw" and raw.ndim == 3:  # noqa: PLR2004
        scores = np.moveaxis(raw, 0, -1)
    if scores.ndim != 3 or scores.shape[-1] != wanted or not scores.size:  # noqa: PLR2004 - rows, columns, classes
        raise BadModelOutput(f"expected {wanted} planes in layout {parameters.layout}, got shape {list(raw.shape)}")
    shares = activated(scores * np.float32(parameters.scale), parameters.activation)
    return np.ascontiguousarray(np.moveaxis(shares, -1, 0), np.float32)


def _by_score(
    model: ServedModel, parameters: SemanticMaskParameters, planes: Array, placement: Placement
) -> Iterator[Layer]:
    frame = frame_of(model)
    planes, grid = over_image(planes, placement, frame)
    region = seen(placement, frame)
    if parameters.exclusive:
        there = np.unique(planes.argmax(axis=0))
        yield from _exclusive(parameters, (planes[there], there), grid, region)
        return
    for number in np.flatnonzero(planes.max(axis=(1, 2)) >= np.float32(parameters.threshold)):
        if number != parameters.background:
            yield from _from_threshold(parameters, (planes[number : number + 1], int(number)), grid, region)


def _exclusive(
    parameters: SemanticMaskParameters, classes: tuple[Array, Array], grid: Grid, region: Region
) -> Iterator[Layer]:
    planes, numbers = classes
    winners = np.zeros((region.bottom - region.top, region.right - region.left), np.uint16)
    counts, sums = np.zeros(len(numbers), np.int64), np.zeros(len(numbers))
    for top, scores in strips(planes, grid, region):
        best = scores.max(axis=0)
        surest = winners[top - region.top : top - region.top + len(best)]
        for place in reversed(range(len(numbers))):  # as argmax does along this axis, in a fifth of its time
            surest[scores[place] == best] = place
        counts += np.bincount(surest.ravel(), minlength=len(numbers))
        sums += np.bincount(surest.ravel(), best.ravel(), len(numbers))
    for place, number in enumerate(numbers):
        if number != parameters.background and counts[place]:
            yield int(number), _mean(sums[place], counts[place]), winners == place


def _from_threshold(
    parameters: SemanticMaskParameters, plane: tuple[Array, int], grid: Grid, region: Region
) -> Iterator[Layer]:
    won = np.zeros((region.bottom - region.top, region.right - region.left), bool)
    count, total = 0, 0.0
    for top, (scores,) in strips(plane[0], grid, region):
        part = won[top - region.top : top - region.top + len(scores)]
        np.greater_equal(scores, np.float32(parameters.threshold), out=part)
        count += int(part.sum())
        total += float(scores.sum(where=part, dtype=np.float64))
    if count:
        yield plane[1], _mean(total, count), won


def _mean(total: float, count: int) -> float:
    return float(min(1.0, total / count))


def _by_number(
    model: ServedModel, parameters: SemanticMaskParameters, raw: Array, placement: Placement
) -> Iterator[Layer]:
    numbers = raw.squeeze(axis=tuple(axis for axis in (0, -1) if raw.ndim == 3 and raw.shape[axis] == 1))  # noqa: PLR2004
    wanted = len(model.classes) + (parameters.background is not None)
    if numbers.ndim != 2 or not numbers.size:  # noqa: PLR2004 - rows and columns
        raise BadModelOutput(f"expected one plane of class numbers, got shape {list(raw.shape)}")
    if numbers.min() < 0 or numbers.max() >= wanted:
        raise BadModelOutput(f"a class number lies outside the {wanted} classes of the model")
    frame = frame_of(model)
    grid, region = Grid.of_frame(placement, frame, numbers.shape), seen(placement, frame)
    rows = _nearest(region.top, region.bottom, (grid.scale_y, grid.offset_y), numbers.shape[0])
    columns = _nearest(region.left, region.right, (grid.scale_x, grid.offset_x), numbers.shape[1])
    pixels = numbers[np.ix_(rows, columns)]
    for number in np.unique(pixels):
        if number != parameters.background:
            yield int(number), 1.0, pixels == number


def _nearest(first: int, last: int, grid: tuple[float, float], cells: int) -> Array:
    places = np.floor(np.arange(first, last) * grid[0] + grid[1] + 0.5).astype(np.int64)
    within: Array = np.clip(places, 0, cells - 1)
    return within


def _class(number: int, parameters: SemanticMaskParameters) -> int:
    return number - (parameters.background is not None and number > parameters.background)


DECODER = Decoder(version=1, parameters=SemanticMaskParameters, decode=decode)
