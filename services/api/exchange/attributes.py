"""Answers under a tool as flat attributes, the way COCO and CVAT hold them.

An attribute is named like its classification. What stands under an option is named by the way there, classification,
option, classification, joined by `/`; a `/` within a name is written `~1` and a `~` as `~0`, as in a JSON pointer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from services.api.exchange.formats.base import Refused
from services.api.exchange.vocabulary import NestedAnswer, Vocabulary
from services.api.pointers import escape
from shared.annotations import CLASSIFICATION_TYPES, Annotation, CheckedOption, Checklist, FeatureType, FreeText, Radio
from shared.answers import Answer
from shared.ontology import FeatureSchema

Value: TypeAlias = str | Sequence[str]
"""The name of an option, a text, or the names of the checked options."""


def attributes_of(vocabulary: Vocabulary, answers: Iterable[Answer], feature_id: UUID) -> dict[str, Value]:
    return dict(_written(vocabulary, vocabulary.nest(answers, feature_id), ""))


@dataclass(slots=True)
class ReadAttributes:
    answers: list[Answer] = field(default_factory=list)
    others: dict[str, object] = field(default_factory=dict)
    """What the ontology has no classification for."""


def read_attributes(
    vocabulary: Vocabulary, feature_id: UUID | None, attributes: Mapping[str, object], pointer: str = "/attributes"
) -> ReadAttributes:
    """Those under a feature, or the whole data row's. Raises Refused for an option that its classification lacks."""
    known = dict(_classifications(vocabulary, feature_id, ""))
    found = ReadAttributes()
    for name, value in attributes.items():
        feature = known.get(name)
        if feature is None or feature.id is None:
            found.others[name] = value
        elif (annotation := _answer(vocabulary, feature, value, f"{pointer}/{escape(name)}")) is not None:
            found.answers.append(Answer(feature_schema_id=feature.id, annotation=annotation))
    return found


def paths(vocabulary: Vocabulary, feature_id: UUID) -> Iterator[tuple[str, FeatureSchema]]:
    """Every attribute that a feature may have, with its classification."""
    return _classifications(vocabulary, feature_id, "")


def value_of(vocabulary: Vocabulary, annotation: Annotation) -> Value:
    """The answer in words: a text, the name of an option, or the names of several."""
    if isinstance(annotation, FreeText):
        return annotation.text
    names = [vocabulary.name(option) for option in annotation.option_ids()]
    return names if isinstance(annotation, Checklist) else names[0]


def _written(vocabulary: Vocabulary, nested: Sequence[NestedAnswer], before: str) -> Iterator[tuple[str, Value]]:
    for one in nested:
        name = before + escape(one.feature.name)
        yield name, value_of(vocabulary, one.answer.annotation)
        for option, below in one.below.items():
            yield from _written(vocabulary, below, f"{name}/{escape(vocabulary.name(option))}/")


def _classifications(
    vocabulary: Vocabulary, parent_id: UUID | None, before: str
) -> Iterator[tuple[str, FeatureSchema]]:
    for feature in vocabulary.children(parent_id):
        if feature.type not in CLASSIFICATION_TYPES:
            continue
        name = before + escape(feature.name)
        yield name, feature
        for option in vocabulary.children(feature.id):
            yield from _classifications(vocabulary, option.id, f"{name}/{escape(option.name)}/")


def _answer(vocabulary: Vocabulary, feature: FeatureSchema, value: object, pointer: str) -> Annotation | None:
    if value is None:
        return None
    if feature.type is FeatureType.FREE_TEXT:
        return FreeText(text=_word(value, pointer))
    if value in ("", []):  # nothing was chosen
        return None
    options = [_option(vocabulary, feature, one, pointer) for one in (value if isinstance(value, list) else [value])]
    if feature.type is FeatureType.CHECKLIST:
        return Checklist(options=tuple(CheckedOption(option_id=option) for option in dict.fromkeys(options)))
    if len(options) != 1:
        raise Refused("several_options", f"{feature.name!r} takes one option", pointer)
    return Radio(option_id=options[0])


def _option(vocabulary: Vocabulary, feature: FeatureSchema, value: object, pointer: str) -> UUID:
    found = vocabulary.named(_word(value, pointer), feature.id)
    if found is None or found.id is None:
        raise Refused("unknown_option", f"{feature.name!r} has no option {str(value)[:100]!r}", pointer)
    return found.id


def _word(value: object, pointer: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)[:100_000]
    raise Refused("not_an_answer", "this should be a text or the name of an option", pointer)
