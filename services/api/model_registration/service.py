"""Models of a workspace: into the catalog, where an operation makes them ready, and out of it."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select

from services.api.access.principal import Principal
from services.api.model_registration import queries
from shared.contracts.events import ModelDeleted
from shared.database.model_registrations import KIND, REGISTERING
from shared.database.operations import NewOperation, add_operation
from shared.database.tables import CatalogModelRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, FieldError, Unprocessable
from shared.model_card import ModelCard, own_digest
from shared.served_at import ServedAt

REFUSED = "the model cannot be registered like this"


@dataclass(frozen=True, slots=True)
class Submission:
    """What is asked for; `digest` is over all of it, so that a repeat is known. `files` lie under the entry's id."""

    model_id: UUID
    card: ModelCard
    digest: str
    files: tuple[str, ...] = ()
    served_at: ServedAt | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    model: CatalogModelRow
    operation_id: UUID


async def check_room(work: UnitOfWork, principal: Principal, card: ModelCard, most: int) -> None:
    """Before anything is stored. Raises Unprocessable or Conflict."""
    if await queries.is_built_in(work.session, card.slug):
        error = FieldError("/slug", "slug_taken", f"{card.slug!r} is a built-in model; choose another slug")
        raise Unprocessable("the card cannot be used like this", code="invalid_card", errors=[error])
    if await queries.count_own_models(work.session, principal.workspace_id) >= most:
        raise Conflict(f"the workspace has {most} models; delete one first", code="too_many_models")


async def register_model(work: UnitOfWork, principal: Principal, wanted: Submission) -> Registered:
    """A new entry with its operation; a repeat gets those of the first. Raises Conflict when the version is another."""
    card = wanted.card
    values = {
        "id": wanted.model_id,
        "workspace_id": principal.workspace_id,
        "slug": card.slug,
        "name": card.name,
        "version": card.version,
        "digest": own_digest(wanted.model_id, wanted.digest),
        "media_type": card.media_type,
        "task": card.task,
        "card": card.model_dump(mode="json"),
        "state": REGISTERING,
        "submission": wanted.digest,
        **({"served_at": wanted.served_at.model_dump(mode="json")} if wanted.served_at else {}),
    }
    is_new = await queries.insert_model(work.session, values)
    row = await queries.find_version(work.session, principal.workspace_id, card.slug, card.version)
    if row is None:  # removed between the two
        raise Conflict("this version is being removed; try again", code="model_version_exists")
    if not is_new:
        if row.submission != wanted.digest:
            raise Conflict(
                f"version {card.version!r} of {card.slug!r} is there with other weights or another card",
                code="model_version_exists",
                extra={"model_id": str(row.id)},
            )
        return Registered(row, await queries.get_registration(work.session, row))
    operation = await add_operation(
        work,
        NewOperation(
            kind=KIND,
            workspace_id=principal.workspace_id,
            project_id=None,
            parameters={"catalog_model_id": str(row.id), "files": list(wanted.files)},
            created_by=principal.member_id,
        ),
    )
    return Registered(row, operation.id)


async def delete_model(work: UnitOfWork, principal: Principal, model_id: UUID) -> None:
    """Hidden at once; its files go once nothing can use them. Raises NotFound or Conflict."""
    row = await queries.lock_model(work.session, principal.workspace_id, model_id)
    if row.workspace_id is None:
        raise Conflict("a built-in model cannot be deleted", code="built_in_model")
    if row.state == REGISTERING:
        operation_id = await queries.get_registration(work.session, row)
        raise Conflict(
            "the model is being registered; cancel that operation first",
            code="model_registering",
            extra={"operation_id": str(operation_id)},
        )
    uses = await queries.list_open_uses(work.session, principal.workspace_id, model_id)
    if uses:
        raise Conflict(
            "runs or previews that have not ended use the model; cancel them or wait",
            code="model_in_use",
            extra={"model_run_ids": [str(found) for found in uses]},
        )
    row.deleted_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    work.emit(
        ModelDeleted(workspace_id=principal.workspace_id, model_id=row.id, slug=row.slug, model_version=row.version)
    )
