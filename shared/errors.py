"""Failures as business words that know their status; the edges turn them into RFC 9457 problems.

PrelabelError
├── Malformed 400             the request cannot be read
├── Unauthenticated 401       no key, or not a valid one
├── Forbidden 403             the key's role does not allow it
├── NotFound 404              unknown here, or another workspace's
├── Conflict 409              the state of the thing does not allow it
├── PreconditionFailed 412    somebody else changed it
├── TooLarge 413
├── UnsupportedMedia 415
├── Unprocessable 422         understood, but wrong; `errors` says where
├── PreconditionRequired 428  `If-Match` is missing
├── TooManyRequests 429
└── Unavailable 503           a part that is needed is away
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

_SOON = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong in the request; `pointer` is a JSON pointer into the body (RFC 6901)."""

    pointer: str
    code: str
    detail: str


class PrelabelError(Exception):
    status = 500
    code = "internal_error"
    title = "Something went wrong on our side"
    usual_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or self.code
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.headers = {**self.usual_headers, **(headers or {})}


class Malformed(PrelabelError):
    status = 400
    code = "malformed_request"
    title = "The request cannot be read"


class Unauthenticated(PrelabelError):
    status = 401
    code = "unauthenticated"
    title = "A valid API key is needed"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(PrelabelError):
    status = 403
    code = "forbidden"
    title = "The role of this key does not allow it"


class NotFound(PrelabelError):
    status = 404
    code = "not_found"
    title = "There is no such thing here"


class Conflict(PrelabelError):
    status = 409
    code = "conflict"
    title = "The present state does not allow it"


class PreconditionFailed(PrelabelError):
    status = 412
    code = "precondition_failed"
    title = "It was changed meanwhile"


class TooLarge(PrelabelError):
    status = 413
    code = "too_large"
    title = "The request is too large"


class UnsupportedMedia(PrelabelError):
    status = 415
    code = "unsupported_media_type"
    title = "The content type is not supported"


class Unprocessable(PrelabelError):
    status = 422
    code = "invalid_request"
    title = "The request is understood, but something in it is wrong"


class PreconditionRequired(PrelabelError):
    status = 428
    code = "precondition_required"
    title = "Send the ETag you read as If-Match"


class TooManyRequests(PrelabelError):
    status = 429
    code = "too_many_requests"
    title = "Too many requests"
    usual_headers = _SOON


class Unavailable(PrelabelError):
    status = 503
    code = "unavailable"
    title = "A part that is needed is away at the moment"
    usual_headers = _SOON


@dataclass(slots=True)
class Problems:
    """Collects everything that is wrong, so that one answer lists it all."""

    errors: list[FieldError] = field(default_factory=list)

    def add(self, pointer: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(pointer, code, detail))

    def raise_if_any(self, detail: str, *, code: str = "invalid_request") -> None:
        if self.errors:
            raise Unprocessable(detail, code=code, errors=self.errors)
