"""Detections as `shared.selection.select` sees them: light, and parsed only where somebody asks for the geometry."""

from dataclasses import dataclass
from typing import Protocol

import orjson

from shared.annotations import ANNOTATION, Annotation
from shared.answers import Attributes


class Seen(Protocol):
    """One detection. Its `annotation` is asked for where a conversion needs the geometry, and for what is shown."""

    @property
    def ordinal(self) -> int: ...
    @property
    def model_class(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def area(self) -> float | None: ...
    @property
    def attributes(self) -> Attributes: ...
    @property
    def kind(self) -> str: ...
    @property
    def annotation(self) -> Annotation: ...


@dataclass(slots=True)
class StoredDetection:
    """As it comes from the database, with `json_*` as text.

    `json_annotation` is None where whoever read it knew that nobody would ask.
    """

    ordinal: int
    model_class: str
    confidence: float
    area: float | None
    kind: str
    json_attributes: str | None = None
    json_annotation: str | None = None

    @property
    def attributes(self) -> Attributes:
        if self.json_attributes is None:
            return {}
        found: Attributes = orjson.loads(self.json_attributes)
        return found

    @property
    def annotation(self) -> Annotation:
        if self.json_annotation is None:
            raise LookupError("the detection was read without its annotation")
        return ANNOTATION.validate_json(self.json_annotation)
