"""How unsure a model was of what is shown of a data row: three ways to say it, each larger for the less sure. Pure."""

from collections.abc import Collection, Sequence
from math import log2
from typing import NamedTuple

from shared.annotations import FeatureType
from shared.selection import Candidate, Selection


class Doubt(NamedTuple):
    """`least_confidence`: 1 minus the least confidence. `margin`: 1 minus the least distance between the likeliest and
    the second likeliest reading. `entropy`: the bits of all readings together, so that a data row with many unsure
    things has more than one with few. All are 0 where nothing is shown.
    """

    least_confidence: float = 0.0
    margin: float = 0.0
    entropy: float = 0.0


def doubt(objects: Collection[float], answers: Sequence[Sequence[float]] = ()) -> Doubt:
    """`objects` are confidences of things that are there or not; `answers` those of all options, for each radio."""
    if not objects and not answers:
        return Doubt()
    least, margin, entropy = 1.0, 1.0, 0.0
    for one in objects:
        least, margin = min(least, one), min(margin, abs(2 * one - 1))
        entropy += _bits_of(one)
    for options in answers:
        first, second, *_ = sorted((*options, 0.0, 0.0), reverse=True)
        least = min(least, first)
        # Of an option that stands alone, the second likeliest reading is that it is another one.
        margin = min(margin, first - second if second else abs(2 * first - 1))
        entropy += _bits(options)
    return Doubt(1 - least, 1 - margin, entropy)


def doubt_of(selection: Selection, offered: Sequence[Candidate] | None = None, settled: Sequence[float] = ()) -> Doubt:
    """Of what is visible, or of some of it beside things of other confidences."""
    offered = selection.visible if offered is None else offered
    if not selection.alignment.answers:
        return doubt([*settled, *(one.detection.confidence for one in offered)])
    objects, radios = list(settled), []
    for one in offered:  # with one answer a radio at most
        if one.entry.target_type is FeatureType.RADIO and len(selection.detections) > 1:
            radios.append(_options(selection, one))
        else:  # an option that stands alone is there or not, as a thing is
            objects.append(one.detection.confidence)
    return doubt(objects, radios)


def _options(selection: Selection, answer: Candidate) -> list[float]:
    """The confidences of all that the model said for its radio, shown or not."""
    classes = selection.alignment.rivals[answer.number]
    return [one.confidence for one in selection.detections if one.model_class in classes]


def _bits_of(confidence: float) -> float:
    if not 0 < confidence < 1:
        return 0.0
    return -confidence * log2(confidence) - (1 - confidence) * log2(1 - confidence)


def _bits(options: Sequence[float]) -> float:
    """The rest to 1 is one more option; scores that add up to more are shares."""
    total = sum(options)
    parts = [*options, 1 - total] if total <= 1 else [one / total for one in options]
    return -sum(part * log2(part) for part in parts if part > 0)
