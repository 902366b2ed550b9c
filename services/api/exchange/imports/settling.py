"""Labels that come in: whether each fits the ontology and its data row, and what is spilled of it."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson

from services.api.exchange.formats.base import Piece, Refused
from services.api.exchange.histories import History
from services.api.exchange.imports.spill import Record
from services.api.exchange.provenance import wrapped
from services.api.exchange.rows import LabelRecord, RowFacts
from services.api.exchange.vocabulary import Vocabulary
from services.api.review.fitting import Ground
from services.api.review.settled import Settled
from shared.errors import Problems
from shared.ontology import features, required_ids

_LONGEST_ID = 500


@dataclass
class Settling:
    """Takes the labels of one import."""

    vocabulary: Vocabulary
    about: dict[str, Any]

    def __post_init__(self) -> None:
        present = {one.id: one for one in features(self.vocabulary.ontology) if one.id is not None}
        removed = {one.id for one in self.vocabulary.removed if one.id is not None}
        self._ground = Ground(features=present, removed=removed, required=set(), canvas=None)

    def required(self) -> Ground:
        """With what the ontology requires before a review is submitted."""
        return replace(self._ground, required=required_ids(self.vocabulary.ontology))

    def take(self, piece: Piece, row: RowFacts, record: LabelRecord | History | None) -> Record:
        """(data row, place, id, feature, annotation, answers, provenance, extras), or (data row, place, history).

        Raises Refused.
        """
        if record is None:
            return (row.id.bytes, piece.place)
        if isinstance(record, History):
            return (row.id.bytes, piece.place, record.model_dump_json())
        feature_id = record.feature_schema_id
        if feature_id is None:
            raise Refused("unknown_feature", f"the ontology has no feature {str(record.model_class)[:200]!r}")
        self._check(Settled(feature_id, record.annotation, record.answers), row)
        if record.id is not None and len(record.id) > _LONGEST_ID:
            raise Refused("id_too_long", f"an id has at most {_LONGEST_ID} characters")
        annotation = record.annotation.model_dump_json(exclude_none=True)
        answers = orjson.dumps([one.model_dump(mode="json", exclude_none=True) for one in record.answers]).decode()
        return (
            row.id.bytes,
            piece.place,
            record.id or _of_content(row.id, feature_id, annotation, answers),
            feature_id.bytes,
            annotation,
            answers,
            orjson.dumps(self._provenance(record)).decode(),
            orjson.dumps(record.extras).decode() if record.extras else None,
        )

    def _check(self, settled: Settled, row: RowFacts) -> None:
        problems = Problems()
        self._ground.check("", settled, problems)
        canvas = row.canvas
        if canvas is not None and not settled.annotation.is_within(canvas):
            problems.add("/annotation", "outside_data_row", "it does not lie within the data row")
        for first in problems.errors:
            raise Refused(first.code, first.detail, first.pointer)

    def _provenance(self, record: LabelRecord) -> dict[str, Any]:
        said = {"confidence": record.confidence, "model_class": record.model_class}
        return {**wrapped(record.provenance, self.about), **{name: value for name, value in said.items() if value}}


def _of_content(row_id: UUID, feature_id: UUID, annotation: str, answers: str) -> str:
    """For labels without an id, so that a repeat is known all the same."""
    content = "\n".join((str(row_id), str(feature_id), annotation, answers))
    return "content:" + hashlib.sha256(content.encode()).hexdigest()
