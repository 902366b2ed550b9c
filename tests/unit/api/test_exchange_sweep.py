from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from services.api.exchange.imports.report import Report, upload_key
from services.api.exchange.imports.sweep import sweep
from shared.object_store import ObjectStore


async def test_old_uploads_go_with_their_reports(tmp_path: Path) -> None:
    store, workspace, upload = ObjectStore(f"file://{tmp_path}"), uuid4(), uuid4()
    assert await sweep(store, timedelta(0)) == 0
    await store.put(upload_key(workspace, upload), b"content")
    await Report(store, workspace, upload).bucket(0, [b"{}\n"])
    await store.put("elsewhere/object", b"content")
    assert await sweep(store, timedelta(days=1)) == 0
    assert await sweep(store, timedelta(0)) == 1
    assert [found.key async for found in store.list("exchange")] == []
    assert await store.has("elsewhere/object")
