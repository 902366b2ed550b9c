"""Predictions as Label Studio's ML backends write them, one a row as JSON: the regions of one control.

Positions are in percent of the picture, or code points of the text. A region's own `score` counts, else that of the
prediction (0, which stands there when a backend says none, does not), else `score_if_missing`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import orjson
from pydantic import Field

from services.inference.decoders.base import Decoder, Found, Outputs, Parameters
from services.inference.decoders.scores import confidences
from services.inference.inputs.placement import Placement
from services.inference.served_model import ServedModel
from services.inference.tensors import BadModelOutput
from shared.annotations import Annotation, Canvas, Classification
from shared.label_studio.regions import Frame, NoRegion, read

Regions = Literal["rectanglelabels", "polygonlabels", "brushlabels", "labels", "choices"]
_WHOLE = Classification()


class LabelStudioParameters(Parameters):
    prediction: str = Field("prediction", description="the output: a prediction as JSON, one a row")
    control: str = Field("label", description="name of the control whose regions are read; those of others are not")
    regions: Regions = Field("rectanglelabels", description="the type of its regions")
    field: str = Field("image", description="the field of a task's data that takes the content")
    score_if_missing: float = Field(1.0, ge=0, le=1, description="the confidence where the backend says none")


def decode(
    model: ServedModel, parameters: LabelStudioParameters, outputs: Outputs, placements: Sequence[Placement]
) -> list[list[Found]]:
    rows = outputs[parameters.prediction]
    if rows.shape != (len(placements), 1):
        raise BadModelOutput(f"expected a prediction a row, got shape {list(rows.shape)}")
    return [
        _row(model, parameters, raw, placement.canvas)
        for raw, placement in zip(rows[:, 0].tolist(), placements, strict=True)
    ]


def _row(model: ServedModel, parameters: LabelStudioParameters, raw: bytes, canvas: Canvas) -> list[Found]:
    said = orjson.loads(raw)
    if not isinstance(said, dict) or not isinstance(regions := said.get("result") or [], list):
        raise BadModelOutput("a prediction has no list `result`")
    reader = _Reader(model, parameters, said, canvas)
    found = [one for region in regions for one in reader.read(region)]
    found.sort(key=lambda one: -one.confidence)
    return found[: model.card.max_detections]


class _Reader:
    """Of one prediction."""

    def __init__(
        self, model: ServedModel, parameters: LabelStudioParameters, said: Mapping[str, Any], canvas: Canvas
    ) -> None:
        self._classes = frozenset(model.classes)
        self._floor = model.card.floor
        self._how = parameters
        self._score = said.get("score") or None
        self._canvas = canvas

    def read(self, region: Any) -> Iterator[Found]:
        """One for each of its labels, nothing under the floor or outside the content. Raises BadModelOutput."""
        if not isinstance(region, dict):
            raise BadModelOutput("a region is no object")
        if region.get("from_name") != self._how.control:
            return
        kind, value = str(region.get("type", "")).lower(), region.get("value")
        if kind != self._how.regions or not isinstance(value, dict):
            raise BadModelOutput(f"a region of {self._how.control!r} is of type {kind[:100]!r}, or has no value")
        confidence = self._confidence(region.get("score"))
        words = self._words(value.get(kind))
        annotation = self._annotation(value).clip(self._canvas)
        if annotation is not None and annotation.area() != 0 and confidence >= self._floor:
            yield from (Found(word, confidence, annotation) for word in words)

    def _confidence(self, own: Any) -> float:
        score = next((one for one in (own, self._score) if one is not None), self._how.score_if_missing)
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise BadModelOutput("a score is no number")
        return float(confidences(np.asarray(score, np.float64)))

    def _words(self, labels: Any) -> list[str]:
        if not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
            raise BadModelOutput(f"a region has no list {self._how.regions!r}")
        unknown = next((one for one in labels if one not in self._classes), None)
        if unknown is not None:
            raise BadModelOutput(f"the labeling configuration has no label {unknown[:100]!r}")
        return list(dict.fromkeys(labels))

    def _annotation(self, value: Mapping[str, Any]) -> Annotation:
        if self._how.regions == "choices":
            return _WHOLE
        if self._how.regions == "labels":
            value = _half_open(value)
            if value["end"] > self._canvas.length:
                raise BadModelOutput(f"a span lies outside the text's {self._canvas.length} code points")
        frame = Frame(self._canvas.width, self._canvas.height)
        try:
            return read(self._how.regions, value, frame)
        except NoRegion as error:
            raise BadModelOutput(f"a region cannot be read: {error}") from error


def _half_open(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Some backends count the last code point in, which shows where they send the span's text along."""
    start, end, text = value.get("start"), value.get("end"), value.get("text")
    if not isinstance(start, int) or not isinstance(end, int):
        raise BadModelOutput("a span has no whole numbers `start` and `end`")
    inclusive = isinstance(text, str) and len(text) == end - start + 1
    return {"start": start, "end": end + 1 if inclusive else end}


DECODER = Decoder(version=1, parameters=LabelStudioParameters, decode=decode)
