"""What a format makes of an upload: records by data row, and what it refuses, as the frame of exchange sees it."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.api.exchange.formats import ExchangeFormat
from services.api.exchange.formats.base import Importing, Refusal, Refused
from services.api.exchange.losses import Losses
from services.api.exchange.rows import LabelRecord, RowFacts, What
from shared.annotations import Annotation
from shared.ids import new_id
from shared.preprocessing import MediaType
from tests.support.labelled_rows import vocabulary_of


@dataclass
class Upload:
    """By the global key of the data row."""

    losses: Losses
    rows: dict[str, list[LabelRecord]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def only(self) -> LabelRecord:
        assert self.refusals == []
        (record,) = (record for records in self.rows.values() for record in records)
        return record


def take(
    one: ExchangeFormat, content: bytes, rows: Sequence[RowFacts], what: What = "labels", **options: Any
) -> Upload:
    assert one.read is not None
    media_type: MediaType = "text" if rows[0].text is not None else "image"
    found, chosen = Upload(Losses(one.losses)), one.import_options.model_validate(options)
    vocabulary, file = vocabulary_of(media_type), io.BytesIO(content)
    reader = one.read(Importing(file, len(content), media_type, what, vocabulary, found.losses, chosen))
    known: dict[object, RowFacts] = {row.global_key: row for row in rows} | {row.id: row for row in rows}
    for piece in reader.pieces():
        if isinstance(piece, Refusal):
            found.refusals.append(piece)
            continue
        row = known[piece.row.id or piece.row.global_key]
        records = found.rows.setdefault(row.global_key, [])
        try:
            for record in reader.records(piece, row):
                if isinstance(record, LabelRecord):
                    records.append(record)
                elif isinstance(record, Refusal):
                    found.refusals.append(record)
        except Refused as refused:
            found.refusals.append(Refusal(piece.place, refused, piece.id))
    return found


def label(name: str, annotation: Annotation, media_type: MediaType = "image", **more: Any) -> LabelRecord:
    feature = vocabulary_of(media_type).named(name)
    assert feature is not None
    return LabelRecord(annotation, feature.id, id=str(new_id()), **more)
