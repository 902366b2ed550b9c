"""Every error as an RFC 9457 problem. The text of an exception of ours is meant for clients; no other's is shown."""

from typing import Any

from asyncpg import exceptions as pg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from services.api.pointers import field_errors, words
from shared.errors import FieldError, Malformed, NotFound, PrelabelError, Unavailable, Unprocessable
from shared.http_problems import BY_STATUS, MEDIA_TYPE, answer, answer_http_error
from shared.telemetry import logger

log = logger(__name__)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: these statuses as problems, beside those which any route may give."""
    return {status: _declared(status) for status in sorted({401, 403, 422, 429, 503, *statuses})}


def install_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(PrelabelError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _away)
    app.add_exception_handler(OSError, _away)


def _declared(status: int) -> dict[str, Any]:
    error = BY_STATUS[status]
    # No `model`: FastAPI would declare application/json for it. `PrelabelApi.openapi` adds the schema itself.
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": error.title, "content": {MEDIA_TYPE: {"schema": schema}}}


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, PrelabelError)
    return answer(error, request)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(_of_validation(error), request)


def _of_validation(error: RequestValidationError) -> PrelabelError:
    found = error.errors()
    for one in found:
        if one["type"] == "json_invalid":
            detail = f"the body is not JSON: {one['ctx']['error']} at character {one['loc'][-1]}"
            return Malformed(detail, code="malformed_json")
    if any(one["loc"][0] == "path" for one in found):
        return NotFound()
    in_body = [{**one, "loc": one["loc"][1:]} for one in found if one["loc"][0] == "body"]
    elsewhere = [
        FieldError("", str(one["type"]), f"{one['loc'][0]} parameter {one['loc'][-1]}: {words(one)}")
        for one in found
        if one["loc"][0] != "body"
    ]
    return Unprocessable(errors=[*elsewhere, *field_errors(in_body, error.body)])


async def _database(request: Request, error: Exception) -> Response:
    cause = getattr(getattr(error, "orig", None), "__cause__", None)
    if isinstance(cause, pg.DataError):
        # A schema should have refused it before; the client must not see that as our failure all the same.
        log.warning("value_refused_by_database", error=type(cause).__name__, path=request.url.path)
        return answer(Unprocessable("a value is out of the range that can be stored", code="invalid_value"), request)
    if isinstance(cause, pg.PostgresConnectionError | pg.OperatorInterventionError | pg.InsufficientResourcesError):
        return await _away(request, error)
    if isinstance(cause, pg.DeadlockDetectedError | pg.SerializationError | pg.LockNotAvailableError):
        return await _away(request, error)
    # The second when the server's farewell arrives just while the connection is asked.
    if isinstance(cause, pg.InterfaceError | pg.InternalClientError | OSError):
        return await _away(request, error)
    raise error  # what is left is a fault of ours; the outermost middleware answers and logs it


async def _away(request: Request, error: Exception) -> Response:
    log.warning("part_away", error=type(error).__name__, path=request.url.path)
    return answer(Unavailable("a part that is needed does not answer at the moment"), request)
