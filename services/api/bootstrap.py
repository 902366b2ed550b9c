"""`python -m services.api.bootstrap --cards DIR [--local-key-file FILE]`: what must be there before the first request.

Registers the built models as built-in catalog entries, and puts what workers read of them (tokenizers) into the
object store; those files lie in the `repository` that the builder wrote beside the cards. With `--local-key-file` it
also makes a workspace "local", an admin and a key, unless the file already holds a key that works. Doing it twice
changes nothing.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

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


async def bootstrap(resources: Resources, cards: Path, key_file: Path | None) -> None:
    built = _read_cards(cards)
    # First, so that no worker meets a model of the catalog without them.
    await _store_files(resources.store, cards.parent / "repository", built)
    async with unit_of_work(resources.sessions, resources.signals, _ACTOR) as work:
        registered = await _register(work, built)
    log.info("models_registered", new=registered, in_all=len(built))
    if key_file is not None:
        await _ensure_local_key(resources, key_file)


async def _ensure_local_key(resources: Resources, key_file: Path) -> None:
    async with unit_of_work(resources.sessions, resources.signals, _ACTOR) as work:
        # Two at once would make two workspaces.
        await work.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_ACTOR, 0))))
        if await _holds_working_key(resources, key_file):
            return
        secret = await _local_key(work)
        _write_secret(key_file, secret)
    log.info("local_key_made", file=str(key_file))


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


async def _holds_working_key(resources: Resources, key_file: Path) -> bool:
    try:
        await authenticate(resources.sessions, resources.signals, _read_secret(key_file))
    except (FileNotFoundError, UnicodeDecodeError, Unauthenticated):
        return False
    return True


async def _local_key(work: UnitOfWork) -> str:
    workspace = await work.session.scalar(
        select(WorkspaceRow).where(WorkspaceRow.name == _LOCAL).order_by(WorkspaceRow.id).limit(1)
    ) or await access.create_workspace(work, _LOCAL)
    admin = await work.session.scalar(
        select(MemberRow)
        .where(
            MemberRow.workspace_id == workspace.id, MemberRow.role == Role.ADMIN.value, MemberRow.disabled_at.is_(None)
        )
        .order_by(MemberRow.id)
        .limit(1)
    ) or await access.add_member(work.session, workspace.id, MemberCreate(name="local admin", role=Role.ADMIN))
    _, secret = await access.add_api_key(work, admin, ApiKeyCreate(name="made at the first start"))
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


async def _run(cards: Path, key_file: Path | None) -> None:
    settings = ApiSettings()
    configure_logging(settings, "bootstrap")
    async with open_resources(settings) as resources:
        await bootstrap(resources, cards, key_file)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.api.bootstrap", description="Register built-in models.")
    parser.add_argument("--cards", type=Path, required=True, help="folder with one JSON file a built model")
    parser.add_argument("--local-key-file", type=Path, help="make a first key and write it here, if none works there")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.cards, arguments.local_key_file))


if __name__ == "__main__":
    main()
