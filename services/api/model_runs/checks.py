"""All that can be wrong with a submitted run or preview, by JSON pointer. Pure: what is in the tables is given."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from services.api.model_runs.answers import AnswerCheck
from services.api.model_runs.criteria import check_criteria
from services.api.model_runs.schemas import AlignmentEntryCreate, ModelRunCreate
from services.api.pointers import escape
from shared.alignment import AlignmentEntry, Target
from shared.annotations import FeatureType, features_taking, has_area
from shared.conditions import Condition, Range
from shared.conversion import Conversion
from shared.errors import Problems
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema

_MAX_ALIKE = 20
_WITH_OPTIONS = frozenset({FeatureType.RADIO, FeatureType.CHECKLIST})


@dataclass(frozen=True, slots=True)
class Rows:
    """`unknown_batches` are places in `batch_ids`."""

    unknown_batches: Sequence[int]
    any_to_do: bool


@dataclass(frozen=True, slots=True)
class Ground:
    """The model, and the features of the present ontology; `removed` are those of earlier versions."""

    card: ModelCard
    features: Mapping[UUID, FeatureSchema]
    removed: Set[UUID]


@dataclass(frozen=True, slots=True)
class Aligning:
    """How the model is to be used: `threshold` is for every entry without its own, the card's when None."""

    entries: Sequence[AlignmentEntryCreate]
    threshold: float | None = None
    criteria: Mapping[str, str] = field(default_factory=dict)


def check_alignment(wanted: Aligning, ground: Ground, problems: Problems) -> tuple[AlignmentEntry, ...]:
    """The entries with every threshold and target type resolved; complete only while there is no problem."""
    classes = check_criteria(wanted.criteria, ground.card, problems)
    return _Entries(wanted, ground, classes, problems).resolve()


def check_threshold(pointer: str, threshold: float | None, card: ModelCard, problems: Problems) -> None:
    if threshold is None:
        return
    check_range(pointer, threshold, problems)
    if 0 <= threshold < card.floor:
        detail = f"under the model's floor of {card.floor} nothing is stored, so nothing could be shown"
        problems.add(pointer, "threshold_under_floor", detail)


def check_range(pointer: str, threshold: float, problems: Problems) -> None:
    if not 0 <= threshold <= 1:
        problems.add(pointer, "threshold_out_of_range", "a threshold lies between 0 and 1")


def check_rows(wanted: ModelRunCreate, rows: Rows, problems: Problems) -> None:
    for place in rows.unknown_batches:
        problems.add(f"/batch_ids/{place}", "unknown_batch", "the project has no such batch")
    if not rows.any_to_do and not rows.unknown_batches:
        pointer = "/batch_ids" if wanted.batch_ids else ""
        what = "data row without a label" if wanted.only_unlabeled else "data row"
        problems.add(pointer, "no_rows", f"there is no {what} to do")


@dataclass
class _Entries:
    """`seen` are the conditions of earlier entries of the same class and feature."""

    wanted: Aligning
    ground: Ground
    classes: Set[str]
    problems: Problems
    seen: dict[tuple[str, UUID], list[Condition | None]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def answers(self) -> AnswerCheck:
        return AnswerCheck(self.ground.card, self.ground.features, self.ground.removed, self.problems)

    def resolve(self) -> tuple[AlignmentEntry, ...]:
        entries, card = self.wanted.entries, self.ground.card
        if not entries:
            self.problems.add("/alignment/entries", "empty_alignment", "at least one class must be aligned")
        check_threshold("/threshold", self.wanted.threshold, card, self.problems)
        default = card.default_threshold if self.wanted.threshold is None else self.wanted.threshold
        found = []
        for index, entry in enumerate(entries):
            pointer = f"/alignment/entries/{index}"
            if entry.model_class not in self.classes:
                what = "criteria have no name" if card.open_ended else "model has no class"
                detail = f"the {what} {entry.model_class[:100]!r}"
                self.problems.add(f"{pointer}/model_class", "unknown_model_class", detail)
            found.append(self._resolve(pointer, entry, default))
        return tuple(entry for entry in found if entry is not None)

    def _resolve(self, pointer: str, entry: AlignmentEntryCreate, default: float) -> AlignmentEntry | None:
        """None only beside a problem."""
        check_threshold(f"{pointer}/threshold", entry.threshold, self.ground.card, self.problems)
        self._check_condition(f"{pointer}/when", entry.when)
        if entry.min_area is not None:
            self._check_area(f"{pointer}/min_area")
        self._check_duplicate(pointer, entry)
        target_type = self._check_target(f"{pointer}/target", entry.target)
        if target_type is None:
            return None
        conversion = Conversion.of(self.ground.card.annotation_kind, target_type)
        self._check_conversion(f"{pointer}/conversion", entry, conversion)
        answers = self.answers.resolve(f"{pointer}/answers", entry)
        if self.problems.errors:
            return None
        return AlignmentEntry(
            model_class=entry.model_class,
            target=entry.target,
            target_type=target_type,
            threshold=default if entry.threshold is None else entry.threshold,
            when=entry.when,
            min_area=entry.min_area,
            max_count=entry.max_count,
            conversion=conversion,
            answers=answers,
        )

    def _check_condition(self, pointer: str, when: Condition | None) -> None:
        if when is None:
            return
        for name, span in (("confidence", when.confidence), ("area", when.area)):
            if span and span.minimum is not None and span.maximum is not None and span.minimum >= span.maximum:
                self.problems.add(f"{pointer}/{name}", "empty_range", "minimum must lie below maximum")
        if when.area is not None:
            self._check_area(f"{pointer}/area")
        for attribute in when.attribute:
            if attribute not in self.ground.card.attributes:
                pointed = f"{pointer}/attribute/{escape(attribute)}"
                self.problems.add(pointed, "unknown_attribute", "the model's detections carry no such attribute")

    def _check_area(self, pointer: str) -> None:
        kind = self.ground.card.annotation_kind
        if not has_area(kind):
            self.problems.add(pointer, "no_area", f"what the model gives ({kind}) has no area")

    def _check_conversion(self, pointer: str, entry: AlignmentEntryCreate, conversion: Conversion) -> None:
        if entry.conversion is None:
            return
        if entry.conversion.from_ != conversion.from_:
            self.problems.add(f"{pointer}/from", "wrong_conversion", f"the model gives {conversion.from_}")
        if entry.conversion.to != conversion.to:
            self.problems.add(f"{pointer}/to", "wrong_conversion", f"the feature takes {conversion.to}")

    def _check_duplicate(self, pointer: str, entry: AlignmentEntryCreate) -> None:
        # A pre-label is addressed by its detection and feature, so one detection is shown once a feature.
        alike = self.seen[(entry.model_class, entry.target.feature_schema_id)]
        if len(alike) >= _MAX_ALIKE:
            detail = f"at most {_MAX_ALIKE} entries may map one class to one feature"
            self.problems.add(pointer, "too_many_entries", detail)
        elif any(not exclusive(entry.when, other) for other in alike):
            detail = "another entry maps the same class to the same feature; their conditions must exclude one another"
            self.problems.add(pointer, "duplicate_entry", detail)
        alike.append(entry.when)

    def _check_target(self, pointer: str, target: Target) -> FeatureType | None:
        feature = self.ground.features.get(target.feature_schema_id)
        place = f"{pointer}/feature_schema_id"
        if feature is None:
            self.answers.add_unknown(place, target.feature_schema_id, "feature")
            return None
        if feature.type is None:
            detail = "this is an option: name its radio or checklist here, and itself as option_id"
            self.problems.add(place, "not_a_feature", detail)
            return None
        if not feature.is_top_level:
            self.problems.add(place, "nested_feature", "only tools and top classifications can be aligned with classes")
            return None
        if feature.type not in features_taking(self.ground.card.annotation_kind):
            detail = f"what the model gives ({self.ground.card.annotation_kind}) cannot become a {feature.type}"
            self.problems.add(place, "not_convertible", detail)
            return None
        self._check_option(f"{pointer}/option_id", feature, target.option_id)
        return feature.type

    def _check_option(self, pointer: str, feature: FeatureSchema, option_id: UUID | None) -> None:
        if feature.type not in _WITH_OPTIONS:
            if option_id is not None:
                self.problems.add(pointer, "option_not_allowed", f"a {feature.type} has no options")
        elif option_id is None:
            self.problems.add(pointer, "option_missing", f"say which option of {feature.name!r} the class means")
        elif option_id not in self.ground.features:
            self.answers.add_unknown(pointer, option_id, "option")
        elif self.ground.features[option_id].parent_id != feature.id:
            self.problems.add(pointer, "foreign_option", f"this is no option of {feature.name!r}")


def exclusive(one: Condition | None, other: Condition | None) -> bool:
    """Whether no detection can meet both."""
    if one is None or other is None:
        return False
    clash = any(name in other.attribute and other.attribute[name] != value for name, value in one.attribute.items())
    return clash or _apart(one.confidence, other.confidence) or _apart(one.area, other.area)


def _apart(one: Range | None, other: Range | None) -> bool:
    return one is not None and other is not None and (_ends_before(one, other) or _ends_before(other, one))


def _ends_before(one: Range, other: Range) -> bool:
    return one.maximum is not None and other.minimum is not None and one.maximum <= other.minimum
