"""Old uploads and their reports leave the object store, those of requests that broke off among them."""

import asyncio
from datetime import UTC, datetime, timedelta

from services.api.exchange.imports.report import FOLDER
from services.api.settings import WorkerSettings
from shared.errors import Unavailable
from shared.object_store import ObjectStore
from shared.telemetry import logger

_EVERY_SECONDS = 3600.0

log = logger(__name__)


async def keep_sweeping(store: ObjectStore, settings: WorkerSettings) -> None:
    """For ever. Any number of workers may: what one has removed the others do not find."""
    while True:
        try:
            await sweep(store, timedelta(days=settings.imports_kept_days))
        except Unavailable as error:
            log.warning("sweeping_broke_off", error=error.detail)
        await asyncio.sleep(_EVERY_SECONDS)


async def sweep(store: ObjectStore, kept: timedelta) -> int:
    """How many uploads went: those of which nothing was written for so long."""
    newest: dict[str, datetime] = {}
    async for found in store.list(FOLDER):
        folder = "/".join(found.key.split("/")[:3])
        newest[folder] = max(newest.get(folder, found.changed_at), found.changed_at)
    before = datetime.now(UTC) - kept
    old = [folder for folder, changed_at in newest.items() if changed_at < before]
    for folder in old:
        await store.remove_folder(folder)
    return len(old) + await store.remove_unfinished(FOLDER, before)
