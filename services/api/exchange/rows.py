"""What leaves and what comes in, in the words of no format: data rows with their labels or pre-labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from uuid import UUID

from shared.annotations import Annotation, Canvas
from shared.answers import Answer

What = Literal["labels", "pre_labels"]
"""What people settled, or what models said as an alignment shows it."""

Json: TypeAlias = Mapping[str, Any]
Extras: TypeAlias = Mapping[str, Json]
"""By name of the format: what only that one knows (`iscrowd`, `z_order`, `occluded`)."""


@dataclass(frozen=True, slots=True)
class RowFacts:
    """A data row. Sizes are those of the EXIF-oriented image in pixels, `length` is in code points; None until somebody
    has read the content."""

    id: UUID
    global_key: str
    uri: str | None = None
    text: str | None = None
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    length: int | None = None
    metadata: Json = field(default_factory=dict)

    @property
    def canvas(self) -> Canvas | None:
        """None while its size is not known."""
        if self.length is not None:
            return Canvas(length=self.length)
        if self.width is None or self.height is None:
            return None
        return Canvas(width=self.width, height=self.height)


@dataclass(slots=True)  # frozen ones take three times as long to make, and a million are
class LabelRecord:
    """One label or pre-label, never changed. Coordinates and offsets are ours (`shared.annotations.base`), answers a
    flat list.

    `id`: of one that leaves, the label's or pre-label's; of one that comes in, what the sender calls it, by which a
    repeat is known. `feature_schema_id` is None only for a prediction whose `model_class` no feature is named like.
    """

    annotation: Annotation
    feature_schema_id: UUID | None
    id: str | None = None
    answers: tuple[Answer, ...] = ()
    confidence: float | None = None
    model_class: str | None = None
    provenance: Json = field(default_factory=dict)
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A data row with its labels, or with what one run shows on it.

    `review` is the state of its review and `decisions` what people decided about its labels, for Prelabel's own format.
    """

    row: RowFacts
    labels: Sequence[LabelRecord]
    review: Json = field(default_factory=dict)
    decisions: Sequence[Json] = ()
