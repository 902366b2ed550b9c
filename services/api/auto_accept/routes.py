"""Policies that accept pre-labels without a look, audited and stopped by a rule."""

from uuid import UUID

from fastapi import APIRouter, Response

from services.api.auto_accept import service
from services.api.auto_accept.schemas import Policy, PolicyApply, PolicyCreate
from services.api.dependencies import Editor, Paged, Reader, Work
from services.api.idempotency import IdempotentRoute
from services.api.operations.schemas import Operation
from services.api.paging import by_id
from services.api.problems import problems
from shared.contracts.http import Page

router = APIRouter(prefix="/v1", tags=["measures"], route_class=IdempotentRoute)


@router.post("/projects/{project_id}/policies", status_code=201, responses=problems(404))
async def create_policy(
    principal: Editor, work: Work, project_id: UUID, wanted: PolicyCreate, response: Response
) -> Policy:
    """Say which pre-labels may be accepted without a look, how good that must be, and how much of it people check.

    It does nothing until it is applied to a run. Its audits are drawn by a secret seed of its own and shown nowhere.
    """
    found = await service.create_policy(work, principal, project_id, wanted)
    response.headers["Location"] = f"/v1/policies/{found.id}"
    return found


@router.get("/projects/{project_id}/policies", responses=problems(400, 404))
async def list_policies(principal: Editor, session: Reader, paging: Paged, project_id: UUID) -> Page[Policy]:
    """The project's policies, newest first."""
    return paging.page(await service.list_policies(session, principal, project_id, paging), by_id)


@router.get("/policies/{policy_id}", responses=problems(404))
async def get_policy(principal: Editor, session: Reader, policy_id: UUID) -> Policy:
    """One policy: how its audits stand, and how soon its rule would notice a fall."""
    return await service.get_policy(session, principal, policy_id)


@router.post("/policies/{policy_id}/apply", status_code=202, responses=problems(404, 409))
async def apply_policy(
    principal: Editor, work: Work, policy_id: UUID, wanted: PolicyApply, response: Response
) -> Operation:
    """Accept what the policy is about on a finished run, in the background; the audited share stays pending.

    Like a bulk it leaves out data rows that are reserved, submitted, or changed since, and can be undone like one.
    """
    row = await service.apply_policy(work, principal, policy_id, wanted)
    response.headers["Location"] = f"/v1/operations/{row.id}"
    return Operation.from_row(row)


@router.post("/policies/{policy_id}/withdraw", responses=problems(404, 409))
async def withdraw_policy(principal: Editor, work: Work, policy_id: UUID) -> Policy:
    """End a policy for good. What it has accepted stays."""
    return await service.withdraw_policy(work, principal, policy_id)
