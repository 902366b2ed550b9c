"""What routes ask for. Scope `function` throughout: a transaction ends before the response leaves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access import authentication
from services.api.access.principal import Principal, Role
from services.api.etags import read_if_match
from services.api.idempotency import claim_of
from services.api.paging import MAX_PAGE_SIZE, Paging
from services.api.resources import OpenWork, Resources
from services.api.settings import ApiSettings
from shared.contracts.http import DEFAULT_PAGE_SIZE
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.egress import Egress
from shared.errors import Forbidden
from shared.object_store import ObjectStore
from shared.page_tokens import scope_of

bearer = HTTPBearer(
    scheme_name="api_key",
    auto_error=False,
    description="An API key of a member, as `Authorization: Bearer plk_…`",
)


basic = HTTPBasic(
    scheme_name="label_studio",
    auto_error=False,
    description="An API key as the password, for Label Studio, which knows no bearer tokens; any user name",
)


def resources_of(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


async def _principal(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Principal:
    resources, token = resources_of(request), credentials.credentials if credentials else None
    return await authentication.authenticate(resources.sessions, resources.signals, token)


def require(role: Role) -> Callable[..., Awaitable[Principal]]:
    """A dependency that gives the principal, if their role allows what `role` may do."""

    async def required(request: Request, principal: Annotated[Principal, Depends(_principal)]) -> Principal:
        if not principal.role.allows(role):
            raise Forbidden(f"this needs the role {role}; the key has {principal.role}")
        request.state.principal = principal
        return principal

    return required


async def _label_studio(
    request: Request,
    credentials: Annotated[HTTPBasicCredentials | None, Security(basic)],
    token: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> Principal:
    resources = resources_of(request)
    key = credentials.password if credentials else token.credentials if token else None
    principal = await authentication.authenticate(resources.sessions, resources.signals, key)
    if not principal.role.allows(Role.EDITOR):
        raise Forbidden(f"this needs the role {Role.EDITOR}; the key has {principal.role}")
    request.state.principal = principal
    return principal


def _checked_principal(request: Request) -> Principal:
    """The role is checked before anything is opened or replayed: name Viewer … Admin first in a route's parameters."""
    found: Principal = request.state.principal
    return found


async def _work(request: Request) -> AsyncIterator[UnitOfWork]:
    principal, resources = _checked_principal(request), resources_of(request)
    async with unit_of_work(resources.sessions, resources.signals, principal.actor) as work:
        claim = claim_of(request)
        if claim is not None:
            await claim.begin(work.session, principal.workspace_id)
        yield work


async def _reader(request: Request) -> AsyncIterator[AsyncSession]:
    async with resources_of(request).sessions() as session:
        # One snapshot for all statements of an answer: what a segment's end moves is counted once.
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        await session.connection(execution_options=options)
        yield session


def _works(request: Request) -> OpenWork:
    principal, resources = _checked_principal(request), resources_of(request)
    return lambda: unit_of_work(resources.sessions, resources.signals, principal.actor)


def _paging(
    request: Request,
    page_size: Annotated[
        int, Query(description=f"items a page, from 1 to {MAX_PAGE_SIZE}; what lies outside is clamped")
    ] = DEFAULT_PAGE_SIZE,
    page_token: Annotated[str | None, Query(description="`next_page_token` of the page before")] = None,
) -> Paging:
    pager = resources_of(request).pager
    workspace_id = _checked_principal(request).workspace_id
    scope = scope_of(workspace_id, request.url.path, request.query_params.multi_items())
    after = None if page_token is None else pager.read(scope, page_token)
    return Paging(pager, scope, min(max(page_size, 1), MAX_PAGE_SIZE), after)


def _if_match(
    if_match: Annotated[str | None, Header(description="the ETag of what was read; required")] = None,
) -> int:
    return read_if_match(if_match)


def _settings(request: Request) -> ApiSettings:
    return resources_of(request).settings


def _store(request: Request) -> ObjectStore:
    return resources_of(request).store


def _egress(request: Request) -> Egress:
    return resources_of(request).egress


Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Labeler = Annotated[Principal, Depends(require(Role.LABELER))]
Editor = Annotated[Principal, Depends(require(Role.EDITOR))]
Admin = Annotated[Principal, Depends(require(Role.ADMIN))]
LabelStudio = Annotated[Principal, Depends(_label_studio)]
"""An editor whose key came as the password of basic authentication, or as a bearer token."""

Work = Annotated[UnitOfWork, Depends(_work, scope="function")]
"""One transaction, committed before the response leaves."""

Works = Annotated[OpenWork, Depends(_works)]
"""For streams that commit part by part: each call opens a unit of work of its own."""

Reader = Annotated[AsyncSession, Depends(_reader, scope="function")]
"""A session that cannot write."""

Paged = Annotated[Paging, Depends(_paging)]
IfMatch = Annotated[int, Depends(_if_match)]
Settings = Annotated[ApiSettings, Depends(_settings)]
Store = Annotated[ObjectStore, Depends(_store)]
EgressClient = Annotated[Egress, Depends(_egress)]
