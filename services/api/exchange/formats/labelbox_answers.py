"""Answers as Labelbox writes them: a radio's as an object, a checklist's as a list, a free text's as a string."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from services.api.exchange.formats.base import Refused
from services.api.exchange.vocabulary import NestedAnswer, Vocabulary
from shared.annotations import Annotation, CheckedOption, Checklist, FeatureType, FreeText, Radio
from shared.answers import LONGEST_TEXT, Answer
from shared.ontology import FeatureSchema

Confidences = Mapping[str, float]
"""By id of the option, or of the classification for a free text."""


@dataclass(slots=True)
class ReadAnswers:
    """Answers found under one feature, as a flat list, and how sure the sender was of each."""

    vocabulary: Vocabulary
    flat: list[Answer] = field(default_factory=list)
    confidences: dict[str, float] = field(default_factory=dict)

    def take(self, feature: FeatureSchema, sent: Any, pointer: str) -> Annotation:
        """What was answered to this classification; what stands under its options joins the list. Raises Refused."""
        return _OF_TYPE[_type(feature)].read(self, feature, sent, pointer)

    def take_below(self, parent_id: UUID, sent: Any, pointer: str) -> None:
        """The `classifications` of a tool or an option."""
        if not isinstance(sent, list):
            raise Refused("not_a_list", "this should be an array", pointer)
        for index, one in enumerate(sent):
            here = f"{pointer}/{index}"
            feature = _child(self.vocabulary, parent_id, one, here)
            answer = self.take(feature, answer_of(one, here), f"{here}/answer")
            self.flat.append(Answer(feature_schema_id=_id(feature), annotation=answer))

    def option(self, feature: FeatureSchema, sent: Any, pointer: str) -> UUID:
        option = _child(self.vocabulary, _id(feature), sent, pointer)
        confidence = sent.get("confidence")
        if isinstance(confidence, int | float):
            self.confidences[str(option.id)] = confidence
        if sent.get("classifications"):
            self.take_below(_id(option), sent["classifications"], f"{pointer}/classifications")
        return _id(option)


@dataclass(frozen=True, slots=True)
class WriteAnswers:
    vocabulary: Vocabulary
    confidences: Confidences

    def below(self, answers: Iterable[Answer], parent_id: UUID) -> list[dict[str, Any]]:
        return [self._entry(one) for one in self.vocabulary.nest(answers, parent_id)]

    def value(self, feature: FeatureSchema, annotation: Annotation, answers: Sequence[Answer]) -> Any:
        below = {option: self.vocabulary.nest(answers, option) for option in annotation.option_ids()}
        return self._value(NestedAnswer(feature, Answer(feature_schema_id=_id(feature), annotation=annotation), below))

    def option(self, option_id: UUID, below: Sequence[NestedAnswer]) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.vocabulary.name(option_id)}
        if str(option_id) in self.confidences:
            found["confidence"] = self.confidences[str(option_id)]
        if below:
            found["classifications"] = [self._entry(one) for one in below]
        return found

    def _entry(self, one: NestedAnswer) -> dict[str, Any]:
        return {"name": one.feature.name, "answer": self._value(one)}

    def _value(self, one: NestedAnswer) -> Any:
        return _OF_TYPE[_type(one.feature)].write(self, one)


def answer_of(sent: Any, pointer: str) -> Any:
    """Older files say `answers` for a checklist."""
    if not isinstance(sent, dict) or ("answer" not in sent and "answers" not in sent):
        raise Refused("answer_missing", "a classification has an `answer`", pointer)
    return sent["answer"] if "answer" in sent else sent["answers"]


@dataclass(frozen=True, slots=True)
class _Form:
    read: Callable[[ReadAnswers, FeatureSchema, Any, str], Annotation]
    write: Callable[[WriteAnswers, NestedAnswer], Any]


def _read_radio(found: ReadAnswers, feature: FeatureSchema, sent: Any, pointer: str) -> Annotation:
    if not isinstance(sent, dict):
        raise Refused("wrong_answer", f"{feature.name!r} is a radio: its answer is an object with a name", pointer)
    return Radio(option_id=found.option(feature, sent, pointer))


def _read_checklist(found: ReadAnswers, feature: FeatureSchema, sent: Any, pointer: str) -> Annotation:
    if not isinstance(sent, list) or not sent:
        raise Refused("wrong_answer", f"{feature.name!r} is a checklist: its answer is a list of options", pointer)
    options = dict.fromkeys(found.option(feature, one, f"{pointer}/{index}") for index, one in enumerate(sent))
    return Checklist(options=tuple(CheckedOption(option_id=option) for option in options))


def _read_text(found: ReadAnswers, feature: FeatureSchema, sent: Any, pointer: str) -> Annotation:
    del found
    if not isinstance(sent, str):
        raise Refused("wrong_answer", f"{feature.name!r} is a free text: its answer is a string", pointer)
    if len(sent) > LONGEST_TEXT:
        raise Refused("text_too_long", f"a free text has at most {LONGEST_TEXT} characters", pointer)
    return FreeText(text=sent)


def _write_radio(writing: WriteAnswers, one: NestedAnswer) -> Any:
    (option,) = one.answer.annotation.option_ids()
    return writing.option(option, one.below[option])


def _write_checklist(writing: WriteAnswers, one: NestedAnswer) -> Any:
    return [writing.option(option, one.below[option]) for option in one.answer.annotation.option_ids()]


def _write_text(writing: WriteAnswers, one: NestedAnswer) -> Any:
    del writing
    assert isinstance(one.answer.annotation, FreeText)
    return one.answer.annotation.text


_OF_TYPE: Mapping[FeatureType, _Form] = {
    FeatureType.RADIO: _Form(_read_radio, _write_radio),
    FeatureType.CHECKLIST: _Form(_read_checklist, _write_checklist),
    FeatureType.FREE_TEXT: _Form(_read_text, _write_text),
}


def _child(vocabulary: Vocabulary, parent_id: UUID, sent: Any, pointer: str) -> FeatureSchema:
    """The classification or option of this name (or id) under a parent."""
    if not isinstance(sent, dict):
        raise Refused("not_an_object", "this should be an object", pointer)
    name, schema_id = sent.get("name"), sent.get("schemaId")
    found = vocabulary.named(name, parent_id) if isinstance(name, str) else None
    if found is None and isinstance(schema_id, str):
        found = vocabulary.with_id(schema_id, parent_id)
    if found is None:
        parent = vocabulary.name(parent_id)
        raise Refused("unknown_feature", f"under {parent!r} nothing is named {str(name or schema_id)[:200]!r}", pointer)
    return found


def _type(feature: FeatureSchema) -> FeatureType:
    assert feature.type is not None
    return feature.type


def _id(feature: FeatureSchema) -> UUID:
    assert feature.id is not None
    return feature.id
