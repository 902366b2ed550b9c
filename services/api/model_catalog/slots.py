"""The places of an ontology that a model class can mean."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.api.model_catalog.spelling import normalized
from shared.annotations import TOOL_TYPES, FeatureType, conversion_loss, conversion_rank, features_taking
from shared.answers import Answer, AnswerFromAttribute, EntryAnswer, chosen, option_key
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema

_SAYS_NOTHING_ALONE = frozenset(
    normalized(name) for name in ("yes", "no", "true", "false", "other", "none", "unknown", "not sure", "n/a", "ok")
)
_TEXT = "text"


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a classification under the target, as an entry answers it."""

    classification: FeatureSchema
    option: FeatureSchema


@dataclass(frozen=True, slots=True)
class Way:
    """From what the model gives to what the feature takes; `rank` 0 is the same, and higher ones are farther."""

    loss: str
    rank: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A tool, or an option of a top radio or checklist; with `path` also options under it, from the top down."""

    feature: FeatureSchema
    option: FeatureSchema | None
    way: Way
    path: tuple[Choice, ...] = ()

    @property
    def name(self) -> str:
        return self.path[-1].option.name if self.path else (self.option or self.feature).name

    @property
    def title(self) -> str:
        """With the tool or option it is under."""
        return f"{(self.option or self.feature).name}, {self.name}" if self.path else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """All it may be called: under `Car`, the option `red` is also a `red Car`."""
        if not self.path:
            return (self.name,)
        above = (self.option or self.feature).name
        both = (f"{self.name} {above}", f"{above} {self.name}")
        return both if normalized(self.name) in _SAYS_NOTHING_ALONE else (self.name, *both)

    @property
    def place(self) -> tuple[UUID | None, UUID | None]:
        """Where the pre-label stands, whatever is answered under it."""
        return (self.feature.id, self.option.id if self.option else None)

    @property
    def group(self) -> UUID | None:
        """Slots of one group compete for a class: all tools, and the options of one classification."""
        return None if self.feature.type in TOOL_TYPES else self.feature.id


class OntologySlots:
    """`features` are the nodes of the present ontology, in any order."""

    def __init__(self, card: ModelCard, features: Sequence[FeatureSchema]) -> None:
        self._card = card
        self._below: defaultdict[UUID | None, list[FeatureSchema]] = defaultdict(list)
        for feature in features:
            self._below[feature.parent_id].append(feature)

    def fillable(self) -> list[Slot]:
        """Only top features: what is nested is answered per object or per answer."""
        takes = features_taking(self._card.annotation_kind)
        return [slot for feature in self._below[None] if feature.type in takes for slot in self._of(feature)]

    def below(self, slot: Slot) -> Iterator[Slot]:
        """The options under a slot, each with the answers that lead to it."""
        above = slot.path[-1].option if slot.path else slot.option or slot.feature
        for classification in self._below[above.id]:
            for option in self._options(classification):
                deeper = Slot(slot.feature, slot.option, slot.way, (*slot.path, Choice(classification, option)))
                yield deeper
                yield from self.below(deeper)

    def answers(self, slot: Slot) -> tuple[EntryAnswer, ...]:
        """Those that lead to the slot, and those that the model's detections bring."""
        constant = [_constant(choice) for choice in slot.path]
        answered = {answer.feature_schema_id for answer in constant}
        brought = (self._brought(attribute, slot) for attribute in self._card.attributes)
        fresh = {one.feature_schema_id: one for one in brought if one and one.feature_schema_id not in answered}
        return (*constant, *fresh.values())

    def takes_text(self, slot: Slot) -> bool:
        """Whether a text that the detections carry has a place under it."""
        return any(isinstance(one, AnswerFromAttribute) and one.attribute == _TEXT for one in self.answers(slot))

    def _brought(self, attribute: str, slot: Slot) -> AnswerFromAttribute | None:
        under = self._below[(slot.option or slot.feature).id]
        named = [one for one in under if normalized(one.name) == normalized(attribute)]
        texts = [one for one in under if one.type is FeatureType.FREE_TEXT]
        if not named and attribute == _TEXT and len(texts) == 1:
            named = texts
        if len(named) != 1 or named[0].id is None:
            return None
        return AnswerFromAttribute(
            feature_schema_id=named[0].id,
            attribute=attribute,
            type=named[0].type,
            options={option_key(option.name): _id(option) for option in self._options(named[0])},
        )

    def _of(self, feature: FeatureSchema) -> list[Slot]:
        assert feature.type is not None
        kind = self._card.annotation_kind
        way = Way(conversion_loss(kind, feature.type), conversion_rank(kind, feature.type))
        if feature.type in TOOL_TYPES:
            return [Slot(feature, None, way)]
        return [Slot(feature, option, way) for option in self._options(feature)]

    def _options(self, classification: FeatureSchema) -> list[FeatureSchema]:
        return [below for below in self._below[classification.id] if below.node == "option"]


def _constant(choice: Choice) -> Answer:
    assert choice.classification.type is not None
    return Answer(
        feature_schema_id=_id(choice.classification), annotation=chosen(choice.classification.type, _id(choice.option))
    )


def _id(feature: FeatureSchema) -> UUID:
    """Stored features always have one."""
    assert feature.id is not None
    return feature.id
