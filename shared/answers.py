"""Answers to the classifications under a target: constant, or brought by the detection."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from shared.annotations import Annotation, CheckedOption, Checklist, FeatureType, FreeText, Radio

LONGEST_TEXT = 100_000
AttributeValue: TypeAlias = str | float | bool | list[str]
Attributes = Mapping[str, AttributeValue]
"""What a detection says besides its class, by name. A list names options of a checklist."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Part):
    """An answer to a classification under the target. In an alignment: the same one for every detection."""

    feature_schema_id: UUID
    annotation: Annotation


class AnswerFromAttribute(_Part):
    """An answer the detection brings: the text of a free text, or the name of an option of a radio or checklist.

    A detection without the attribute, or with a name no option has, is shown without the answer.
    """

    feature_schema_id: UUID
    attribute: str = Field(min_length=1, max_length=2000)
    type: FeatureType | None = Field(default=None, description="the classification's; ignored when sent")
    options: dict[str, UUID] = Field(default={}, description="by name; ignored when sent")

    def answer(self, attributes: Attributes) -> Answer | None:
        value = attributes.get(self.attribute)
        if isinstance(value, list):
            return self._checked(value)
        words = _words(value)
        if not words or self.type is None:
            return None
        annotation: Annotation
        if self.type is FeatureType.FREE_TEXT:
            annotation = FreeText(text=words[:LONGEST_TEXT])
        elif (option_id := self.options.get(option_key(words))) is not None:
            annotation = chosen(self.type, option_id)
        else:
            return None
        return Answer.model_construct(feature_schema_id=self.feature_schema_id, annotation=annotation)

    def _checked(self, names: list[str]) -> Answer | None:
        found = dict.fromkeys(self.options.get(option_key(name)) for name in names)
        options = tuple(CheckedOption(option_id=option) for option in found if option is not None)
        if self.type is not FeatureType.CHECKLIST or not options:
            return None
        return Answer.model_construct(feature_schema_id=self.feature_schema_id, annotation=Checklist(options=options))


def _answer_form(value: Any) -> str:
    by_attribute = "attribute" in value if isinstance(value, dict) else isinstance(value, AnswerFromAttribute)
    return "from attribute" if by_attribute else "constant"


EntryAnswer = Annotated[
    Annotated[Answer, Tag("constant")] | Annotated[AnswerFromAttribute, Tag("from attribute")],
    Discriminator(_answer_form),
]


def chosen(feature_type: FeatureType, option_id: UUID) -> Radio | Checklist:
    """The answer that is this one option of a radio or checklist."""
    if feature_type is FeatureType.RADIO:
        return Radio(option_id=option_id)
    return Checklist(options=(CheckedOption(option_id=option_id),))


def option_key(name: str) -> str:
    """Equal for names that no two options of one classification may both have."""
    return name.strip().casefold()


def _words(value: str | float | bool | list[str] | None) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)
