"""Predictions as detections: what is spilled of each, and how the run's alignment sees them."""

from dataclasses import dataclass, field
from uuid import UUID

import orjson

from services.api.exchange.attributes import attributes_of, paths
from services.api.exchange.formats.base import Piece, Refused
from services.api.exchange.imports.spill import Record
from services.api.exchange.rows import LabelRecord, RowFacts
from services.api.exchange.vocabulary import Vocabulary
from shared.alignment import AlignmentEntry, Target
from shared.annotations import CLASSIFICATION_TYPES, Annotation, FeatureType, features_taking
from shared.answers import AnswerFromAttribute, option_key
from shared.conversion import Conversion
from shared.ontology import FeatureSchema
from shared.preprocessing import MediaType

_LONGEST_CLASS = 500
_MOST_CLASSES = 10_000
_LONGEST_ID = 500


@dataclass(slots=True)
class Detected:
    """Takes predictions of one import. `seen` are the kinds that each class was said with, by class and feature."""

    vocabulary: Vocabulary
    media_type: MediaType
    confidence: float
    seen: dict[tuple[str, UUID], str] = field(default_factory=dict)
    _kinds: dict[str, bool] = field(default_factory=dict)

    def take(self, piece: Piece, row: RowFacts, record: LabelRecord | None) -> Record:
        """(data row, place, id, class, confidence, area, kind, attributes, annotation, extras, feature).

        Raises Refused.
        """
        if record is None:
            return (row.id.bytes, piece.place)
        model_class = self._class(record)
        annotation = self._within(record.annotation, row)
        feature_id, attributes = record.feature_schema_id, None
        if feature_id is not None:
            self._note(model_class, feature_id, annotation)
            if record.answers:
                attributes = orjson.dumps(attributes_of(self.vocabulary, record.answers, feature_id)).decode()
        return (
            row.id.bytes,
            piece.place,
            record.id and record.id[:_LONGEST_ID],
            model_class,
            self.confidence if record.confidence is None else record.confidence,
            annotation.area(),
            annotation.kind,
            attributes,
            annotation.model_dump_json(exclude_none=True),
            _extras(record),
            feature_id and feature_id.bytes,
        )

    def entries(self) -> list[AlignmentEntry]:
        """Each class as the feature of its name, whatever its confidence."""
        return [self._entry(name, feature_id, kind) for (name, feature_id), kind in sorted(self.seen.items())]

    def _class(self, record: LabelRecord) -> str:
        found = record.model_class
        if found is None and record.feature_schema_id is not None:
            found = self.vocabulary.name(record.feature_schema_id)
        if not found:
            raise Refused("class_missing", "a prediction needs the name of its class")
        if len(found) > _LONGEST_CLASS:
            raise Refused("class_too_long", f"the name of a class has at most {_LONGEST_CLASS} characters")
        return found

    def _within(self, annotation: Annotation, row: RowFacts) -> Annotation:
        if not self._takes(annotation.kind):
            raise Refused("does_not_fit_media_type", f"{self.media_type} projects take no {annotation.kind}")
        canvas = row.canvas
        if canvas is None:
            return annotation
        clipped = annotation.clip(canvas)
        if clipped is None:
            raise Refused("outside_data_row", "it lies outside of the data row")
        return clipped

    def _takes(self, kind: str) -> bool:
        known = self._kinds.get(kind)
        if known is None:
            taken = features_taking(kind)
            known = self._kinds[kind] = not taken or not taken.isdisjoint(_TAKEN[self.media_type])
        return known

    def _note(self, model_class: str, feature_id: UUID, annotation: Annotation) -> None:
        if (model_class, feature_id) not in self.seen:
            if len(self.seen) >= _MOST_CLASSES:
                raise Refused("too_many_classes", f"an import has at most {_MOST_CLASSES} classes")
            self.seen[model_class, feature_id] = annotation.kind

    def _entry(self, model_class: str, feature_id: UUID, kind: str) -> AlignmentEntry:
        feature = self.vocabulary.by_id[feature_id]
        assert feature.type is not None
        converts = feature.type in features_taking(kind)
        return AlignmentEntry(
            model_class=model_class,
            target=Target(feature_schema_id=feature_id),
            target_type=feature.type,
            threshold=0.0,
            conversion=Conversion.of(kind, feature.type) if converts else None,
            answers=() if feature.type in CLASSIFICATION_TYPES else tuple(self._answers(feature_id)),
        )

    def _answers(self, feature_id: UUID) -> list[AnswerFromAttribute]:
        return [self._answer(name, feature) for name, feature in paths(self.vocabulary, feature_id)]

    def _answer(self, attribute: str, feature: FeatureSchema) -> AnswerFromAttribute:
        assert feature.id is not None
        options = {option_key(one.name): one.id for one in self.vocabulary.children(feature.id) if one.id is not None}
        return AnswerFromAttribute(
            feature_schema_id=feature.id, attribute=attribute, type=feature.type, options=options
        )


def _extras(record: LabelRecord) -> str | None:
    """With where it came from before, which a detection has no other place for."""
    extras = dict(record.extras)
    if record.provenance:
        extras["prelabel"] = {**extras.get("prelabel", {}), "provenance": record.provenance}
    return orjson.dumps(extras).decode() if extras else None


_ANSWERS = CLASSIFICATION_TYPES
_TAKEN: dict[MediaType, frozenset[FeatureType]] = {
    "image": frozenset(FeatureType) - {FeatureType.TEXT_ENTITY},
    "text": frozenset({FeatureType.TEXT_ENTITY, *_ANSWERS}),
}
