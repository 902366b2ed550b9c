"""From what was sent to what may be stored: each line, item or file on its own, so a wrong one fails alone."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError

from services.api.data_rows.queries import ContentFacts, NewDataRow
from services.api.data_rows.schemas import MAX_TEXT_LENGTH, DataRowCreate, LineError, LineResult
from services.api.pointers import field_errors
from services.api.values import is_suspicious, unusable
from shared.database.tables import ProjectRow
from shared.egress import Egress
from shared.ids import new_id
from shared.images import UnusableImage, read_header
from shared.object_store import ObjectStore, content_key, key_of, uri_of

_MAX_METADATA_BYTES = 64 * 1024
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")


class Refused(Exception):
    """Why one line cannot be stored."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.error = LineError(code=code, detail=detail, pointer=pointer)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that may be stored."""

    line: int
    row: NewDataRow


@dataclass(frozen=True, slots=True)
class Intake:
    """What a project takes."""

    project: ProjectRow
    egress: Egress
    store: ObjectStore

    @property
    def takes_text(self) -> bool:
        return self.project.media_type == "text"


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """`content` is None when the file was longer than the limit."""

    place: int
    global_key: str
    content: bytes | None


def of_line(intake: Intake, line: int, content: bytes) -> Candidate | LineResult:
    """One line of an NDJSON stream."""
    try:
        item = json.loads(content.decode())
    except UnicodeDecodeError:
        return refusal(line, None, LineError(code="invalid_utf8", detail="the line is not UTF-8"))
    except json.JSONDecodeError as error:
        detail = f"the line is not JSON: {error.msg} at character {error.colno}"
        return refusal(line, None, LineError(code="malformed_json", detail=detail))
    except (ValueError, RecursionError) as error:
        return refusal(line, None, LineError(code="malformed_json", detail=f"the line cannot be read: {error}"[:300]))
    return (of_suspicious_item if is_suspicious(content) else of_item)(intake, line, item)


def of_suspicious_item(intake: Intake, line: int, item: Any) -> Candidate | LineResult:
    """One that may hold what PostgreSQL does not."""
    first = next(unusable(item), None)
    if first is None:
        return of_item(intake, line, item)
    return refusal(line, None, LineError(code=first.code, detail=first.detail, pointer=first.pointer))


def of_item(intake: Intake, line: int, item: Any) -> Candidate | LineResult:
    """One item of a JSON body, or of a line."""
    given = item.get("global_key") if isinstance(item, dict) else None
    key = given if isinstance(given, str) else None
    try:
        return Candidate(line, _of_wanted(intake, DataRowCreate.model_validate(item)))
    except ValidationError as error:
        first = field_errors(error.errors(include_url=False, include_input=False, include_context=False), item)[0]
        return refusal(line, key, LineError(code=first.code, detail=first.detail, pointer=first.pointer))
    except Refused as refused:
        return refusal(line, key, refused.error)


def of_file(intake: Intake, file: UploadedFile) -> Candidate | LineResult:
    """One uploaded file. Of an image only the header is read: one that does not decode fails in the run."""
    try:
        return Candidate(file.place, _of_text(file) if intake.takes_text else _of_image(intake, file))
    except Refused as refused:
        return refusal(file.place, file.global_key, refused.error)


def refusal(line: int | None, global_key: str | None, error: LineError) -> LineResult:
    return LineResult(line=line, global_key=global_key, status="failed", error=error)


def text_facts(text: str) -> ContentFacts:
    content = text.encode()
    return ContentFacts("text/plain", hashlib.sha256(content).digest(), len(content), length=len(text))


def _of_wanted(intake: Intake, wanted: DataRowCreate) -> NewDataRow:
    _check_metadata(wanted.metadata)
    if wanted.text is not None:
        if not intake.takes_text:
            raise Refused("does_not_fit_media_type", "an image project takes uri", "/text")
        facts = text_facts(wanted.text)
        return NewDataRow(new_id(), wanted.global_key, wanted.metadata, None, wanted.text, facts)
    uri = wanted.uri or ""
    if intake.takes_text:
        raise Refused("does_not_fit_media_type", "a text project takes text", "/uri")
    _check_uri(intake, uri)
    return NewDataRow(new_id(), wanted.global_key, wanted.metadata, uri, None, None)


def _check_metadata(metadata: dict[str, Any]) -> None:
    try:
        size = len(orjson.dumps(metadata))
    except orjson.JSONEncodeError as error:
        detail = "integers have at most 64 bits, and at most about 250 levels are nested"
        raise Refused("unsupported_metadata", detail, "/metadata") from error
    if size > _MAX_METADATA_BYTES:
        raise Refused("metadata_too_large", f"at most {_MAX_METADATA_BYTES} bytes of metadata", "/metadata")


def _check_uri(intake: Intake, uri: str) -> None:
    key = key_of(uri)
    if key is None:
        if not uri.startswith("https://"):
            raise Refused("unsupported_uri", "a uri is https://… at an allowed host, or store://… of an upload", "/uri")
        if not intake.egress.allows(uri):
            raise Refused(
                "host_not_allowed",
                "upload the file to …/data-rows/upload, or ask the operator to add the host to ALLOWED_CONTENT_HOSTS",
                "/uri",
            )
    elif not _is_own_key(intake.project.workspace_id, key):
        raise Refused("unknown_object", "there is no such object in this workspace", "/uri")


def _is_own_key(workspace_id: UUID, key: str) -> bool:
    # Dots and escapes could lead out of the workspace's folder, so only plain keys are taken.
    parts = key.split("/")
    return parts[0] == str(workspace_id) and _SAFE.issuperset(key) and not {"", ".", ".."} & set(parts)


def _of_image(intake: Intake, file: UploadedFile) -> NewDataRow:
    content = _whole(file)
    try:
        header = read_header(content)
    except UnusableImage as error:
        raise Refused(error.code, str(error)) from error
    digest = hashlib.sha256(content)
    facts = ContentFacts(header.mime_type, digest.digest(), len(content), header.width, header.height)
    uri = uri_of(content_key(intake.project.workspace_id, digest.hexdigest()))
    return NewDataRow(new_id(), file.global_key, {}, uri, None, facts)


def _of_text(file: UploadedFile) -> NewDataRow:
    try:
        text = _whole(file).decode()
    except UnicodeDecodeError as error:
        raise Refused("invalid_utf8", "a text file must be UTF-8") from error
    if "\0" in text:
        raise Refused("unsupported_character", "the text has a NUL character")
    if not 1 <= len(text) <= MAX_TEXT_LENGTH:
        raise Refused("text_length", f"a text has 1 to {MAX_TEXT_LENGTH} characters, this one {len(text)}")
    return NewDataRow(new_id(), file.global_key, {}, None, text, text_facts(text))


def _whole(file: UploadedFile) -> bytes:
    if file.content is None:
        raise Refused("content_too_large", "the file is larger than is taken")
    return file.content
