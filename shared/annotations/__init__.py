"""Every annotation kind. To add one: write its file, add it to `Annotation`."""

from typing import Annotated, get_args

from pydantic import Field, TypeAdapter

from shared.annotations.base import (
    CLASSIFICATION_TYPES,
    NO_LOSS,
    TOOL_TYPES,
    AnnotationValue,
    Canvas,
    FeatureType,
)
from shared.annotations.bounding_box import BoundingBox
from shared.annotations.checklist import CheckedOption, Checklist
from shared.annotations.classification import Classification
from shared.annotations.free_text import FreeText
from shared.annotations.keypoints import Keypoint, Keypoints
from shared.annotations.mask import Mask
from shared.annotations.point import Point
from shared.annotations.polygon import Polygon, PolygonPart
from shared.annotations.polyline import Polyline
from shared.annotations.radio import Radio
from shared.annotations.text_entity import TextEntity

Annotation = Annotated[
    BoundingBox
    | Polygon
    | Polyline
    | Point
    | Keypoints
    | Mask
    | TextEntity
    | Classification
    | Radio
    | Checklist
    | FreeText,
    Field(discriminator="kind"),
]

ANNOTATION: TypeAdapter[Annotation] = TypeAdapter(Annotation)
"""Parses a stored or sent annotation of any kind."""

_BY_KIND: dict[str, type[AnnotationValue]] = {
    member.model_fields["kind"].default: member for member in get_args(get_args(Annotation)[0])
}

KINDS = tuple(_BY_KIND)
"""Their names, as `kind` says them."""


def features_taking(kind: str) -> frozenset[FeatureType]:
    """The types of features a model that gives this kind of annotation can be aligned with."""
    member = _BY_KIND[kind]
    return frozenset(member.becomes) if member.taken_by is None else frozenset({*member.becomes, member.taken_by})


def conversion_loss(kind: str, target: FeatureType) -> str:
    """What is lost when this kind is shown as that type of feature. KeyError where it cannot be."""
    member = _BY_KIND[kind]
    return NO_LOSS if target == member.taken_by else member.becomes[target]


def conversion_rank(kind: str, target: FeatureType) -> int:
    """0 for the type it is, then the types it may become, the nearest first."""
    member = _BY_KIND[kind]
    return [member.taken_by, *member.becomes].index(target)


def has_area(kind: str) -> bool:
    return _BY_KIND[kind].area is not AnnotationValue.area


def taken_as_it_is(kind: str, target: FeatureType) -> bool:
    """Whether an annotation of this kind needs no conversion, so that nobody has to look at it."""
    return _BY_KIND[kind].taken_by is target


def may_become(kind: str, target: FeatureType) -> bool:
    """Whether there is a way at all; a single annotation may still have none."""
    return target in _BY_KIND[kind].becomes


__all__ = [
    "ANNOTATION",
    "CLASSIFICATION_TYPES",
    "KINDS",
    "NO_LOSS",
    "TOOL_TYPES",
    "Annotation",
    "AnnotationValue",
    "BoundingBox",
    "Canvas",
    "CheckedOption",
    "Checklist",
    "Classification",
    "FeatureType",
    "FreeText",
    "Keypoint",
    "Keypoints",
    "Mask",
    "Point",
    "Polygon",
    "PolygonPart",
    "Polyline",
    "Radio",
    "TextEntity",
    "conversion_loss",
    "conversion_rank",
    "features_taking",
    "has_area",
    "may_become",
    "taken_as_it_is",
]
