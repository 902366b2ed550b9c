"""`python -m services.api.bootstrap [--cards DIR] [--key-file FILE [--workspace NAME]]`: what no request can make.

With `--cards` it registers the built models as built-in catalog entries, and puts what workers read of them
(tokenizers) into the object store; those files lie in the `repository` that the builder wrote beside the cards. With
`--key-file` it makes the workspace of that name and an admin in it, where they are not there, and writes a new key of
the admin into the file, unless it holds one that works. Doing it twice changes nothing.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from services.api.access import service as access
from services.api.access.authentication import authenticate
from services.api.access.principal import Role
from services.api.access.schemas import ApiKeyCreate, MemberCreate
from services.api.resources import Resources, open_resources
from services.api.settings import ApiSettings
from shared.database.tables import CatalogModelRow, MemberRow, WorkspaceRow
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.errors import Unauthenticated
from shared.model_card import BuiltModel
from shared.model_files import files_for_workers, model_file_key
from shared.object_store import ObjectStore
from shared.telemetry import configure_logging, logger

_LOCAL = "local"
_ACTOR = "service:bootstrap"

log = logger(__name__)


async def bootstrap(resources: Resources, cards: Path | None, key_file: Path | None, workspace: str = _LOCAL) -> None:
    if cards is not None:
        await _register_models(resources, cards)
    if key_file is not None:
        await _ensure_key(resources, key_file, workspace)


async def _register_models(resources: Resources, cards: Path) -> None:
    built = _read_cards(cards)
    # First, so that no worker meets a model of the catalog without them.
    await _store_files(resources.store, cards.parent / "repository", built)
    async with unit_of_work(resources.sessions, resources.signals, _ACTOR) as work:
        registered = await _register(work, built)
    log.info("models_registered", new=registered, in_all=len(built))


async def _ensure_key(resources: Resources, key_file: Path, workspace: str) -> None:
    async with unit_of_work(resources.sessions, resources.signals, _ACTOR) as work:
        # Two at once would make two workspaces.
        await work.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_ACTOR, 0))))
        row = await _find_workspace(work, workspace) or await access.create_workspace(work, workspace)
        if await _workspace_of_key(resources, key_file) == row.id:
            return
        secret = await _new_key(work, row)
        _write_secret(key_file, secret)
    log.info("key_made", workspace_id=str(row.id), file=str(key_file))


def _read_cards(folder: Path) -> list[BuiltModel]:
    return [BuiltModel.model_validate_json(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


async def _store_files(store: ObjectStore, repository: Path, built: Sequence[BuiltModel]) -> None:
    for model in built:
        for name in files_for_workers(model.card):
            content = (repository / model.triton_name / "1" / name).read_bytes()
            await store.put(model_file_key(model.digest, name), content)


async def _register(work: UnitOfWork, built: Sequence[BuiltModel]) -> int:
    if not built:
        return 0
    rows = [
        {
            "slug": model.card.slug,
            "name": model.card.name,
            "version": model.card.version,
            "digest": model.digest,
            "media_type": model.card.media_type,
            "task": model.card.task,
            "card": model.card.model_dump(mode="json"),
        }
        for model in built
    ]
    same = insert(CatalogModelRow).on_conflict_do_nothing(
        index_elements=["digest"], index_where=text("workspace_id IS NULL")
    )
    found = await work.session.scalars(same.returning(CatalogModelRow.id), rows)
    return len(found.all())


async def _workspace_of_key(resources: Resources, key_file: Path) -> UUID | None:
    """None when the file holds no key that works."""
    try:
        principal = await authenticate(resources.sessions, resources.signals, _read_secret(key_file))
    except (FileNotFoundError, UnicodeDecodeError, Unauthenticated):
        return None
    return principal.workspace_id


async def _find_workspace(work: UnitOfWork, name: str) -> WorkspaceRow | None:
    """The first of that name."""
    named = select(WorkspaceRow).where(WorkspaceRow.name == name).order_by(WorkspaceRow.id).limit(1)
    found: WorkspaceRow | None = await work.session.scalar(named)
    return found


async def _new_key(work: UnitOfWork, workspace: WorkspaceRow) -> str:
    admin = await work.session.scalar(
        select(MemberRow)
        .where(
            MemberRow.workspace_id == workspace.id, MemberRow.role == Role.ADMIN.value, MemberRow.disabled_at.is_(None)
        )
        .order_by(MemberRow.id)
        .limit(1)
    ) or await access.add_member(work.session, workspace.id, MemberCreate(name="admin", role=Role.ADMIN))
    _, secret = await access.add_api_key(work, admin, ApiKeyCreate(name="made by bootstrap"))
    return str(secret)


def _read_secret(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _write_secret(path: Path, secret: str) -> None:
    """Readable by its owner only, from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secret + "\n")
    fresh.replace(path)


async def _run(cards: Path | None, key_file: Path | None, workspace: str) -> None:
    settings = ApiSettings()
    configure_logging(settings, "bootstrap")
    async with open_resources(settings) as resources:
        await bootstrap(resources, cards, key_file, workspace)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.api.bootstrap", description="What no request can make.")
    parser.add_argument("--cards", type=Path, help="folder with one JSON file a built model, to be registered")
    parser.add_argument("--key-file", type=Path, help="make a key of an admin and write it here, if none works there")
    parser.add_argument("--workspace", default=_LOCAL, help=f"whose admin that is; {_LOCAL} when left out")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.cards, arguments.key_file, arguments.workspace))


if __name__ == "__main__":
    main()
