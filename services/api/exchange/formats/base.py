"""What an exchange format offers: a writer for what leaves, a reader for what comes in, and what it cannot hold.

Writers and readers are plain, synchronous code that the frame calls in a thread, some hundred data rows at a time; they
know neither HTTP nor the database. What they hold in memory must not grow with the number of data rows: a document
that needs its parts in another order keeps them in temporary files.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.api.exchange.histories import History
from services.api.exchange.losses import Holds, Losses
from services.api.exchange.rows import LabelledRow, LabelRecord, RowFacts, What
from services.api.exchange.vocabulary import Vocabulary
from shared.preprocessing import MediaType

Place: TypeAlias = int | str
"""Where in an upload: the number of a line from 1, or a path (of a file in a zip, of an element in a document)."""


class Options(BaseModel):
    """What a request may say about a format, as query parameters. A format with more has a class of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Refused(Exception):
    """Why one record cannot be taken; `pointer` is a JSON pointer within its piece."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.code, self.detail, self.pointer = code, detail, pointer


class UnusableUpload(Exception):
    """Nothing of the upload, or nothing from here on, can be read. It ends the import with this problem."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


# Frozen dataclasses take three times as long to make, and of these a million are.
@dataclass(slots=True)
class RowReference:
    """How an upload names a data row: by our id or by its global key, exactly one of them."""

    id: UUID | None = None
    global_key: str | None = None


@dataclass(slots=True)
class Piece:
    """A part of an upload that is about one data row, cut out but not yet read. `id` is what the sender calls it."""

    place: Place
    row: RowReference
    raw: Any
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part of an upload, or one record of a piece, that is not taken. The rest is."""

    place: Place
    error: Refused
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Exporting:
    """What a writer is made with."""

    project_id: UUID
    project_name: str
    media_type: MediaType
    what: What
    vocabulary: Vocabulary
    losses: Losses
    options: Any


@dataclass(frozen=True, slots=True)
class Importing:
    """What a reader is made with. `file` is the whole upload, seekable, of `size` bytes."""

    file: BinaryIO
    size: int
    media_type: MediaType
    what: What
    vocabulary: Vocabulary
    losses: Losses
    options: Any


class Writer(Protocol):
    """Called in this order; what it gives is the file, in order. `losses` are complete when `end` begins."""

    def begin(self) -> Iterable[bytes]: ...
    def rows(self, rows: Sequence[LabelledRow]) -> Iterable[bytes]:
        """Labels of kinds that the format holds only. Rows without labels come too."""
        ...

    def end(self) -> Iterable[bytes]: ...
    def close(self) -> None:
        """Whatever happened: temporary files go."""
        ...


class Reader(Protocol):
    """Reads an upload in two steps, since what is in it may need the size or text of the data row it is about."""

    def pieces(self) -> Iterator[Piece | Refusal]:
        """In the upload's order; pieces about one data row need not stand together. Raises UnusableUpload."""
        ...

    def records(self, piece: Piece, row: RowFacts) -> Iterable[LabelRecord | History | Refusal]:
        """What is in it. Raises Refused when none of it can be taken. A piece without records is an empty data row."""
        ...


@dataclass(frozen=True, slots=True)
class ExchangeFormat:
    """One way to write labels down. `name` is what requests say; `projects` the media types it is for.

    `holds` and `losses` are what docs/exchange.md says about it: see `services.api.exchange.losses`. What is not in
    `holds` never reaches the writer (kinds) or is counted as lost by the frame (aspects).
    """

    name: str
    title: str
    media_type: str
    suffix: str
    projects: frozenset[MediaType]
    holds: Holds
    losses: Mapping[str, str]
    write: Callable[[Exporting], Writer] | None = None
    read: Callable[[Importing], Reader] | None = None
    takes: Sequence[str] = ()
    """Content types of an upload."""
    export_options: type[Options] = field(default=Options)
    import_options: type[Options] = field(default=Options)
