"""How a model's words meet the ontology. What that shows of its detections is in `shared.selection`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations import (
    CLASSIFICATION_TYPES,
    Annotation,
    FeatureType,
    taken_as_it_is,
)
from shared.answers import Answer, Attributes, AttributeValue, EntryAnswer, chosen
from shared.conditions import Condition
from shared.conversion import Conversion

Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Value(BaseModel):
    """Compared by what it holds, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(Value):
    """A feature schema, and for a radio or checklist the option that the model class means."""

    feature_schema_id: UUID
    option_id: UUID | None = None


class AlignmentEntry(Value):
    """One model class seen as one feature.

    `target_type` and `conversion` follow from the feature and the model, resolved when the run is frozen. `answers` may
    be of any depth under the target, each under an option that another one chooses.
    """

    model_class: str = Field(min_length=1, max_length=500)
    target: Target
    target_type: FeatureType
    threshold: Unit
    when: Condition | None = None
    min_area: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_count: int | None = Field(default=None, ge=1)
    conversion: Conversion | None = None
    answers: tuple[EntryAnswer, ...] = ()

    @cached_property
    def constant_answers(self) -> tuple[Answer, ...] | None:
        """None when some are the detection's own."""
        constant = tuple(answer for answer in self.answers if isinstance(answer, Answer))
        return constant if len(constant) == len(self.answers) else None

    def answers_of(self, attributes: Attributes) -> tuple[Answer, ...]:
        """The answers that a detection with these attributes is shown with."""
        if self.constant_answers is not None:
            return self.constant_answers
        found = (one if isinstance(one, Answer) else one.answer(attributes) for one in self.answers)
        return tuple(answer for answer in found if answer is not None)

    @cached_property
    def chosen(self) -> Annotation | None:
        """The answer that the class means, where the target is an option."""
        return None if self.target.option_id is None else chosen(self.target_type, self.target.option_id)

    def needs_geometry(self, kind: str) -> bool:
        """Whether `select` must look at an annotation of this kind to see it through this entry."""
        as_it_is = self.target_type not in CLASSIFICATION_TYPES and taken_as_it_is(kind, self.target_type)
        return self.target.option_id is None and not as_it_is


class Alignment(Value):
    version: int = 1
    entries: tuple[AlignmentEntry, ...]

    @cached_property
    def by_class(self) -> Mapping[str, Sequence[tuple[int, AlignmentEntry]]]:
        """The entries of each model class, with their places in `entries`."""
        found: defaultdict[str, list[tuple[int, AlignmentEntry]]] = defaultdict(list)
        for index, entry in enumerate(self.entries):
            found[entry.model_class].append((index, entry))
        return dict(found)

    @cached_property
    def rivals(self) -> Sequence[frozenset[str]]:
        """For each of `entries` the model classes that are seen as its feature."""
        classes: defaultdict[UUID, set[str]] = defaultdict(set)
        for entry in self.entries:
            classes[entry.target.feature_schema_id].add(entry.model_class)
        return [frozenset(classes[entry.target.feature_schema_id]) for entry in self.entries]

    @cached_property
    def counts(self) -> bool:
        """Whether any entry shows only so many."""
        return any(entry.max_count is not None for entry in self.entries)

    @cached_property
    def answers(self) -> bool:
        """Whether any entry is an answer about the whole data row, which may be given once only."""
        return any(entry.target_type in CLASSIFICATION_TYPES for entry in self.entries)

    def classes_to_look_at(self, kind: str | None) -> list[str]:
        """Those whose geometry `select` asks for, of annotations of this kind or of any."""
        looked_at = (one for one in self.entries if one.target.option_id is None)
        return sorted({one.model_class for one in looked_at if kind is None or one.needs_geometry(kind)})

    def at(self, threshold: float) -> "Alignment":
        """The same with one threshold for all entries."""
        entries = tuple(entry.model_copy(update={"threshold": threshold}) for entry in self.entries)
        return Alignment(version=self.version, entries=entries)


class Detection(Value):
    """What the model said of one data row, in its words. `ordinal` counts from 0 within the row."""

    ordinal: int
    model_class: str
    confidence: Unit
    area: float | None = None
    attributes: dict[str, AttributeValue] = Field(default_factory=dict)
    annotation: Annotation

    @property
    def kind(self) -> str:
        return self.annotation.kind
