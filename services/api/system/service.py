"""The installation, for admins. A workspace's admin sees what is everybody's and what is theirs; operators see all.

Whose runs wait, and how long, tells of other tenants, and so do names of hosts; that a worker lives does not.
"""

import platform

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.parts import ask_parts
from services.api.resources import Resources
from services.api.system import queries
from services.api.system.schemas import ModelState, OperationDepth, Process, QueueDepth, System, Versions
from shared.version import VERSION


async def describe_system(session: AsyncSession, principal: Principal, resources: Resources) -> System:
    is_operator = principal.workspace_id in resources.settings.operator_workspace_ids
    workspace_id = None if is_operator else principal.workspace_id
    now, postgresql, migration = await queries.read_server(session)
    processes = [Process.model_validate(row, from_attributes=True) for row in await queries.list_processes(session)]
    if not is_operator:
        processes = [process.model_copy(update={"name": None}) for process in processes]
    depths = await queries.list_queue_depths(session, workspace_id)
    operations = await queries.count_operations(session, workspace_id)
    models = await queries.list_models(session, workspace_id)
    return System(
        scope="installation" if is_operator else "workspace",
        at=now,
        versions=Versions(
            prelabel=VERSION, python=platform.python_version(), postgresql=postgresql, migration=migration
        ),
        parts=await ask_parts(resources),
        queue=[QueueDepth.model_validate(row, from_attributes=True) for row in depths],
        operations=OperationDepth.model_validate(operations, from_attributes=True),
        processes=processes,
        models=[ModelState.model_validate(row, from_attributes=True) for row in models],
    )
