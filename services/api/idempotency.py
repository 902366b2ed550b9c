"""`Idempotency-Key`: the answer to a POST is stored in the transaction of its effect, and given again to a repeat."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from fastapi import Depends, Request, Response
from fastapi.params import Depends as DependsParameter
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.checked_requests import MAX_BODY_BYTES, CheckedRoute, Handler, content_type_of, is_json
from shared.database.tables import IdempotencyKeyRow
from shared.errors import Conflict, Malformed, Unprocessable

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_FOR = func.make_interval(0, 0, 0, 1)
_KEPT_HEADERS = ("content-type", "location", "etag")
_PURGED_AT_ONCE = 20
_SUCCESS = 2
_CREATING = (201, 202)
_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "the same key and body give the same answer for 24 hours; another body gives 422",
}
_PRIMARY_KEY = (
    IdempotencyKeyRow.workspace_id,
    IdempotencyKeyRow.method,
    IdempotencyKeyRow.path,
    IdempotencyKeyRow.key,
)


class IdempotentRoute(CheckedRoute):
    """The route class of every router: checks what no schema can, and gives a repeated POST its first answer."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        extra = options.get("openapi_extra") or {}
        if (
            options.get("status_code") in _CREATING and MAX_BODY_BYTES not in extra
        ):  # streams are repeated by their content
            options["openapi_extra"] = {**extra, "parameters": [_PARAMETER]}
        super().__init__(path, endpoint, **options)

    def wrap(self, handle: Handler) -> Handler:
        async def handle_once(request: Request) -> Response:
            claim = await _claim(request)
            if claim is None:
                return await handle(request)
            request.state.idempotency_claim = claim
            try:
                response = await handle(request)
            except _Replay as replay:
                return replay.response
            # Still inside the transaction of `Work`: what is stored here commits with the effect or not at all.
            await claim.keep(response)
            return response

        return handle_once


def shown_once(*names: str) -> DependsParameter:
    """For routes whose answer holds a secret: a replay has null in these fields, since a secret is never stored."""

    def blank(request: Request) -> None:
        claim = claim_of(request)
        if claim is not None:
            claim.blank = names

    found: DependsParameter = Depends(blank)
    return found


@dataclass(slots=True)
class Claim:
    """One use of a key. The transaction-long lock on its scope keeps twins out until the first has committed."""

    method: str
    path: str
    key: str
    body_sha256: bytes
    blank: tuple[str, ...] = ()
    _session: AsyncSession | None = field(default=None, init=False)
    _workspace_id: UUID | None = field(default=None, init=False)

    async def begin(self, session: AsyncSession, workspace_id: UUID) -> None:
        """Raises the stored answer, Conflict while the first is in flight, or Unprocessable for another body."""
        scope = "\n".join((str(workspace_id), self.method, self.path, self.key))
        if not await session.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(scope, 0)))):
            raise Conflict(
                "the first request with this key is still being answered; try again",
                code="idempotency_key_in_use",
                headers={"Retry-After": "1"},
            )
        row = await session.scalar(
            select(IdempotencyKeyRow).where(
                IdempotencyKeyRow.workspace_id == workspace_id,
                IdempotencyKeyRow.method == self.method,
                IdempotencyKeyRow.path == self.path,
                IdempotencyKeyRow.key == self.key,
                IdempotencyKeyRow.created_at > func.now() - _KEPT_FOR,
            )
        )
        if row is not None:
            self._compare(row)
            raise _Replay(row)
        self._session, self._workspace_id = session, workspace_id

    async def keep(self, response: Response) -> None:
        """Store the answer, if the route wrote in a transaction of ours and it is a success."""
        session = self._session
        if session is None or response.status_code // 100 != _SUCCESS:
            return
        values = {
            "body_sha256": self.body_sha256,
            "status": response.status_code,
            "headers": {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
            "body": self._stored_body(bytes(response.body)),
            "created_at": func.now(),
        }
        row = insert(IdempotencyKeyRow).values(
            workspace_id=self._workspace_id, method=self.method, path=self.path, key=self.key, **values
        )
        await session.execute(row.on_conflict_do_update(index_elements=_PRIMARY_KEY, set_=values))
        await _purge(session)

    def _compare(self, row: IdempotencyKeyRow) -> None:
        if row.body_sha256 != self.body_sha256:
            raise Unprocessable(
                "this key was used with another body; take a new key for a new request", code="idempotency_key_reused"
            )

    def _stored_body(self, body: bytes) -> bytes:
        if not self.blank:
            return body
        return orjson.dumps({**orjson.loads(body), **dict.fromkeys(self.blank)})


def claim_of(request: Request) -> Claim | None:
    found: Claim | None = getattr(request.state, "idempotency_claim", None)
    return found


class _Replay(Exception):
    """No error: it carries the stored answer out of the dependency."""

    def __init__(self, row: IdempotencyKeyRow) -> None:
        self.response = Response(row.body, row.status, {**row.headers, REPLAYED: "true"})


async def _claim(request: Request) -> Claim | None:
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST" or not _has_whole_body(request):
        return None
    if not _VISIBLE.fullmatch(key):
        raise Malformed(f"{HEADER} takes 1 to 255 visible ASCII characters", code="invalid_idempotency_key")
    return Claim(request.method, request.url.path, key, hashlib.sha256(await request.body()).digest())


def _has_whole_body(request: Request) -> bool:
    """Streams and uploads repeat safely by other means (`global_key`), and are never held in memory."""
    return content_type_of(request) == "" or is_json(request)


async def _purge(session: AsyncSession) -> None:
    # A few old keys at each new one: the table stays bounded without a job of its own.
    old = (
        select(*_PRIMARY_KEY)
        .where(IdempotencyKeyRow.created_at < func.now() - _KEPT_FOR)
        .limit(_PURGED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    await session.execute(delete(IdempotencyKeyRow).where(tuple_(*_PRIMARY_KEY).in_(old)))
