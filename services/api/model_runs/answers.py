"""Whether the answers of an alignment entry are answers the ontology takes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from services.api.model_runs.schemas import AlignmentEntryCreate
from shared.annotations import CLASSIFICATION_TYPES, FeatureType
from shared.answers import Answer, AnswerFromAttribute, EntryAnswer, option_key
from shared.errors import Problems
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema

_MOST_OPTIONS = 50_000


@dataclass
class AnswerCheck:
    """`features` are those of the present ontology, `removed` those of earlier versions."""

    card: ModelCard
    features: Mapping[UUID, FeatureSchema]
    removed: Set[UUID]
    problems: Problems
    options: dict[UUID, dict[str, UUID]] = field(init=False)
    options_named: int = 0

    def __post_init__(self) -> None:
        self.options = defaultdict(dict)
        for feature_id, feature in self.features.items():
            if feature.node == "option" and feature.parent_id is not None:
                self.options[feature.parent_id][option_key(feature.name)] = feature_id

    def resolve(self, pointer: str, entry: AlignmentEntryCreate) -> tuple[EntryAnswer, ...]:
        """With the type and options of what an attribute answers. Complete only where there is no problem."""
        target = entry.target.option_id or entry.target.feature_schema_id
        reached = self._reached(target, entry.answers)
        answered: set[UUID] = set()
        found = []
        for index, answer in enumerate(entry.answers):
            here = f"{pointer}/{index}"
            asked = self._asked(here, answer, target, reached)
            if asked is not None:
                found.append(self._resolve(here, answer, asked))
            if answer.feature_schema_id in answered:
                self.problems.add(here, "duplicate_answer", "it is answered already")
            answered.add(answer.feature_schema_id)
        return tuple(answer for answer in found if answer is not None)

    def add_unknown(self, pointer: str, feature_id: UUID, what: str) -> None:
        if feature_id in self.removed:
            self.problems.add(pointer, f"removed_{what}", f"the ontology no longer has this {what}")
        else:
            self.problems.add(pointer, f"unknown_{what}", f"the project has no such {what}")

    def _reached(self, target: UUID, answers: Sequence[EntryAnswer]) -> set[UUID]:
        """The target, and every option that a constant answer chooses on the way down from it."""
        waiting = [target]
        reached: set[UUID] = set()
        chosen = [
            (self.features[answer.feature_schema_id].parent_id, answer.annotation.option_ids())
            for answer in answers
            if isinstance(answer, Answer) and answer.feature_schema_id in self.features
        ]
        while waiting:
            parent = waiting.pop()
            if parent not in reached:
                reached.add(parent)
                waiting += (option for under, options in chosen if under == parent for option in options)
        return reached

    def _asked(self, pointer: str, answer: EntryAnswer, target: UUID, reached: Set[UUID]) -> FeatureSchema | None:
        """The classification it answers; None beside a problem."""
        place = f"{pointer}/feature_schema_id"
        asked = self.features.get(answer.feature_schema_id)
        if asked is None:
            self.add_unknown(place, answer.feature_schema_id, "feature")
        elif asked.type not in CLASSIFICATION_TYPES or not self._is_under(asked, target):
            self.problems.add(place, "foreign_answer", "this is no classification under the target")
        elif asked.parent_id not in reached:
            detail = "it stands under an option that no constant answer of this entry chooses"
            self.problems.add(place, "option_not_chosen", detail)
        else:
            return asked
        return None

    def _is_under(self, feature: FeatureSchema, target: UUID) -> bool:
        parent = feature.parent_id
        while parent is not None and parent != target:
            above = self.features.get(parent)
            parent = above.parent_id if above else None
        return parent == target

    def _resolve(self, pointer: str, answer: EntryAnswer, asked: FeatureSchema) -> EntryAnswer | None:
        if isinstance(answer, AnswerFromAttribute):
            return self._from_attribute(pointer, answer, asked)
        place = f"{pointer}/annotation"
        if answer.annotation.taken_by != asked.type:
            self.problems.add(place, "wrong_kind", f"{asked.name!r} takes a {asked.type}")
        elif not set(answer.annotation.option_ids()) <= set(self.options[answer.feature_schema_id].values()):
            self.problems.add(place, "foreign_option", f"{asked.name!r} has no such option")
        elif len(set(answer.annotation.option_ids())) < len(answer.annotation.option_ids()):
            self.problems.add(place, "duplicate_option", "an option is named twice")
        return answer

    def _from_attribute(self, pointer: str, answer: AnswerFromAttribute, asked: FeatureSchema) -> EntryAnswer:
        if answer.attribute not in self.card.attributes:
            detail = "the model's detections carry no such attribute"
            self.problems.add(f"{pointer}/attribute", "unknown_attribute", detail)
        options = {} if asked.type is FeatureType.FREE_TEXT else self.options[answer.feature_schema_id]
        self.options_named += len(options)
        if self.options_named > _MOST_OPTIONS:
            detail = f"answers from attributes may choose among {_MOST_OPTIONS} options in all"
            self.problems.add(pointer, "too_many_options", detail)
        return answer.model_copy(update={"type": asked.type, "options": options})
