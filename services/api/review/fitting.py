"""Whether what a person says fits the ontology and the data row. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from services.api.review.settled import Settled
from shared.annotations import CLASSIFICATION_TYPES, Annotation, Canvas
from shared.answers import Answer
from shared.errors import Problems
from shared.ontology import FeatureSchema


@dataclass(frozen=True)
class Ground:
    """What a label must fit. `canvas` is None while nobody has read the content, so that its size is not known."""

    features: Mapping[UUID, FeatureSchema]
    removed: Set[UUID]
    required: Set[UUID | None]
    canvas: Canvas | None
    children: Mapping[UUID | None, Sequence[FeatureSchema]] = field(init=False)

    def __post_init__(self) -> None:
        children: defaultdict[UUID | None, list[FeatureSchema]] = defaultdict(list)
        for feature in self.features.values():
            children[feature.parent_id].append(feature)
        object.__setattr__(self, "children", children)

    def check(self, pointer: str, made: Settled, problems: Problems) -> None:
        """All that is wrong with it; `pointer` is the place of an object with its fields."""
        feature = self._find(f"{pointer}/feature_schema_id", made.feature_schema_id, problems)
        if feature is None:
            return
        place = f"{pointer}/annotation"
        if feature.type is None:
            problems.add(f"{pointer}/feature_schema_id", "not_a_feature", "this is an option")
        elif not feature.is_top_level:
            detail = "this is a nested classification: answer it in `classifications` of a label above it"
            problems.add(f"{pointer}/feature_schema_id", "nested_feature", detail)
        else:
            self._check_annotation(place, feature, made.annotation, problems)
            if self.canvas is not None and not made.annotation.is_within(self.canvas):
                problems.add(place, "outside_data_row", _size(self.canvas))
            self._check_answers(pointer, made, problems)

    def missing(self, made: Settled) -> Iterator[FeatureSchema]:
        """The required classifications it leaves open."""
        answered = {answer.feature_schema_id for answer in made.classifications}
        for place in self._reached(made):
            for asked in self.children.get(place, ()):
                if asked.id in self.required and asked.id not in answered and asked.node == "classification":
                    yield asked

    def missing_in_row(self, labels: Sequence[Settled]) -> Iterator[FeatureSchema]:
        """The required tools and top classifications that a data row with these labels has none of."""
        there = {label.feature_schema_id for label in labels}
        for asked in self.children.get(None, ()):
            if asked.id in self.required and asked.id not in there:
                yield asked

    def _reached(self, made: Settled) -> set[UUID]:
        """The feature, and every option that is chosen on the way down from it."""
        reached = {made.feature_schema_id, *made.annotation.option_ids()}
        waiting: list[Answer] = list(made.classifications)
        while waiting:
            now = [one for one in waiting if self._parent(one) in reached]
            if not now:
                break
            reached.update(option for answer in now for option in answer.annotation.option_ids())
            waiting = [one for one in waiting if self._parent(one) not in reached]
        return reached

    def _parent(self, answer: Answer) -> UUID | None:
        asked = self.features.get(answer.feature_schema_id)
        return asked.parent_id if asked else None

    def _find(self, pointer: str, feature_id: UUID, problems: Problems) -> FeatureSchema | None:
        found = self.features.get(feature_id)
        if found is None and feature_id in self.removed:
            problems.add(pointer, "removed_feature", "the ontology no longer has this feature")
        elif found is None:
            problems.add(pointer, "unknown_feature", "the project has no such feature")
        return found

    def _check_annotation(
        self, pointer: str, feature: FeatureSchema, annotation: Annotation, problems: Problems
    ) -> None:
        options = annotation.option_ids()
        if annotation.taken_by != feature.type:
            problems.add(pointer, "wrong_kind", f"{feature.name!r} takes a {feature.type}")
        elif not set(options) <= {child.id for child in self.children.get(feature.id, ())}:
            problems.add(pointer, "foreign_option", f"{feature.name!r} has no such option")
        elif len(set(options)) < len(options):
            problems.add(pointer, "duplicate_option", "an option is named twice")

    def _check_answers(self, pointer: str, made: Settled, problems: Problems) -> None:
        reached, answered = self._reached(made), set[UUID]()
        for index, answer in enumerate(made.classifications):
            here = f"{pointer}/classifications/{index}"
            asked = self._find(f"{here}/feature_schema_id", answer.feature_schema_id, problems)
            if asked is None:
                continue
            if asked.type not in CLASSIFICATION_TYPES or asked.parent_id not in reached:
                detail = "this is no classification of the feature, or stands under an option that is not chosen"
                problems.add(f"{here}/feature_schema_id", "foreign_answer", detail)
            else:
                self._check_annotation(f"{here}/annotation", asked, answer.annotation, problems)
            if answer.feature_schema_id in answered:
                problems.add(here, "duplicate_answer", "it is answered already")
            answered.add(answer.feature_schema_id)
        for asked in self.missing(made):
            problems.add(f"{pointer}/classifications", "required_missing", f"{asked.name!r} must be answered")


def _size(canvas: Canvas) -> str:
    if canvas.length:
        return f"it does not lie within the text of {canvas.length} code points"
    return f"it does not lie within the image of {canvas.width} x {canvas.height} pixels"
