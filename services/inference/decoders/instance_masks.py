"""Objects with a mask each."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.boxes import BoxParameters
from services.inference.decoders.masks import Grid, around, mask_of, over_image, strips
from services.inference.decoders.objects import Objects, frame_of, in_image, kept
from services.inference.decoders.readers import OBJECTS, ObjectParameters, read_objects
from services.inference.decoders.scores import sigmoid
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import Array, BadModelOutput
from shared.annotations import Canvas, Mask

_FORM = (
    "`full`: N x H x W over the whole input; `box`: N x H x W within the object's box, as Mask R-CNN gives them; "
    "`prototypes`: K x H x W over the whole input, of which each object takes its sum by K coefficients, as YOLO does"
)


class InstanceMaskParameters(Parameters):
    """A mask is cut to its object's box and has its object's confidence. An object without a pixel is none."""

    objects: ObjectParameters = Field(BoxParameters(), description=OBJECTS)
    masks: str = Field("masks", description="the output of masks or prototypes; N x 1 x H x W is read as N x H x W")
    form: Literal["full", "box", "prototypes"] = Field("full", description=_FORM)
    coefficients: str | None = Field(
        None, description="the output of coefficients, N x K; null: they are the `extra` numbers of a `yolo` head"
    )
    activation: Literal["none", "sigmoid"] = Field("none", description="`sigmoid` where masks hold logits")
    scale: float = Field(1.0, gt=0, description="what masks are multiplied by first, as 1/255 for UINT8")
    threshold: float = Field(0.5, gt=0, lt=1, description="from which score on a pixel belongs to the object")


def decode(
    model: ServedModel, parameters: InstanceMaskParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    return [list(_row(model, parameters, _of(outputs, row), placement)) for row, placement in enumerate(placements)]


def _of(outputs: Outputs, row: int) -> Outputs:
    """One row, still with its axis."""
    return {name: output[row : row + 1] for name, output in outputs.items()}


def _row(
    model: ServedModel, parameters: InstanceMaskParameters, outputs: Outputs, placement: Placement
) -> Iterator[Found]:
    found = read_objects(model, parameters.objects, outputs, 0)
    objects, corners = kept(model, found, parameters.objects, placement)
    grids = _grids(model, parameters, objects, outputs)
    whole = in_image(objects, placement)
    for place, scores in enumerate(grids):
        plane = _activated(scores, parameters)[None]
        if parameters.form == "box":
            grid = Grid.of_box(whole[place], scores.shape)
        else:
            plane, grid = over_image(plane, placement, frame_of(model))
        mask = _mask(plane, grid, parameters.threshold, (corners[place], placement.canvas))
        if mask is not None:
            yield Found(model.classes[int(objects.classes[place])], float(objects.scores[place]), mask)


def _grids(
    model: ServedModel, parameters: InstanceMaskParameters, objects: Objects, outputs: Outputs
) -> Iterator[Array]:
    """One grid of scores an object, rows x columns."""
    masks = outputs[parameters.masks][0]
    if masks.ndim == 4 and masks.shape[1] == 1:  # noqa: PLR2004
        masks = masks[:, 0]
    if masks.ndim != 3 or 0 in masks.shape[1:]:  # noqa: PLR2004 - masks, rows, columns
        raise BadModelOutput(f"expected planes in {parameters.masks!r}, got shape {list(masks.shape)}")
    if parameters.form == "prototypes":
        coefficients = objects.extra
        if parameters.coefficients is not None:
            coefficients = outputs[parameters.coefficients][0][objects.places]
        if coefficients.ndim != 2 or coefficients.shape[1] != len(masks):  # noqa: PLR2004
            raise BadModelOutput(f"{list(coefficients.shape)} coefficients for {len(masks)} prototypes")
        # Not `@`: for so few numbers the threads of its library cost more than they bring.
        return (np.einsum("k,khw->hw", one, masks, dtype=np.float32) for one in coefficients)
    if len(objects.places) and objects.places.max() >= len(masks):
        raise BadModelOutput(f"{len(masks)} masks are fewer than the objects")
    return (masks[place] for place in objects.places)


def _activated(scores: Array, parameters: InstanceMaskParameters) -> Array:
    scaled = scores.astype(np.float32) * np.float32(parameters.scale)
    return sigmoid(scaled) if parameters.activation == "sigmoid" else scaled


def _mask(scores: Array, grid: Grid, threshold: float, where: tuple[Array, Canvas]) -> Mask | None:
    corners, canvas = where
    region = around(corners, canvas)
    parts = [part[0] >= np.float32(threshold) for _, part in strips(scores, grid, region)]
    return mask_of(np.concatenate(parts), region, canvas) if parts else None


DECODER = Decoder(version=1, parameters=InstanceMaskParameters, decode=decode)
