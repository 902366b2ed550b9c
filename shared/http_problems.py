"""Errors as RFC 9457 answers, and what a web framework refuses by itself (no such path, no such method) as one."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.contracts.http import problem_of
from shared.errors import (
    Conflict,
    Forbidden,
    Malformed,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    PrelabelError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)

MEDIA_TYPE = "application/problem+json"
_CLASSES: tuple[type[PrelabelError], ...] = (
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    PreconditionFailed,
    TooLarge,
    UnsupportedMedia,
    Unprocessable,
    PreconditionRequired,
    TooManyRequests,
    Unavailable,
)
BY_STATUS = {error.status: error for error in _CLASSES}


def answer(error: PrelabelError, request: Request) -> Response:
    request_id = getattr(request.state, "request_id", None)
    return JSONResponse(problem_of(error, request_id), error.status, error.headers, MEDIA_TYPE)


async def answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = BY_STATUS.get(error.status_code)
    if known is not None:
        return answer(known(), request)
    other = PrelabelError()
    other.status, other.title = error.status_code, HTTPStatus(error.status_code).phrase
    other.code, other.detail = other.title.lower().replace(" ", "_"), other.title
    other.headers = dict(error.headers or {})
    return answer(other, request)
