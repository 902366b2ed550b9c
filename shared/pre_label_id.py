"""Ids of pre-labels: opaque to clients, and the whole address of a detection seen as a feature.

Nothing in one is secret or trusted: whoever reads it proves that the pre-label is shown.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from uuid import UUID

_PREFIX = "pl_"
_LAYOUT = struct.Struct(">16s16sI16s")
_URLSAFE = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class PreLabelId:
    model_run_id: UUID
    data_row_id: UUID
    ordinal: int
    feature_schema_id: UUID

    def __str__(self) -> str:
        packed = _LAYOUT.pack(
            self.model_run_id.bytes, self.data_row_id.bytes, self.ordinal, self.feature_schema_id.bytes
        )
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def packed_pre_label_id(run: bytes, data_row: bytes, ordinal: int, feature: bytes) -> str:
    """The same text, of ids as bytes: for those who make a million."""
    text = binascii.b2a_base64(_LAYOUT.pack(run, data_row, ordinal, feature), newline=False)
    return _PREFIX + text.translate(_URLSAFE).decode().rstrip("=")


def parse_pre_label_id(text: str) -> PreLabelId | None:
    """None for what `str(PreLabelId(…))` never gives."""
    try:
        body = text.removeprefix(_PREFIX).encode("ascii")
        run, row, ordinal, feature = _LAYOUT.unpack(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    except (binascii.Error, struct.error, UnicodeEncodeError):
        return None
    found = PreLabelId(UUID(bytes=run), UUID(bytes=row), ordinal, UUID(bytes=feature))
    # One id a pre-label: base64 has other spellings of the same bytes.
    return found if str(found) == text else None
