import stat
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from services.api.bootstrap import bootstrap
from shared.api_keys import parse_api_key
from shared.database.tables import CatalogModelRow
from tests.support.api import Api
from tests.support.cards import built, card

pytestmark = pytest.mark.asyncio


async def test_second_start_changes_nothing(api: Api, tmp_path: Path) -> None:
    models = [built(card(f"m-{uuid4().hex[:12]}", "bounding_box", ["cat"])) for _ in range(2)]
    digests = [model.digest for model in models]
    cards, key_file = tmp_path / "cards", tmp_path / "keys" / "local.key"
    cards.mkdir()
    for model in models:
        (cards / f"{model.card.slug}.json").write_text(model.model_dump_json())

    await bootstrap(api.resources, cards, key_file)
    first = key_file.read_text()
    await bootstrap(api.resources, cards, key_file)
    assert key_file.read_text() == first
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600

    async with api.resources.sessions() as session:
        wanted = select(func.count()).where(CatalogModelRow.digest.in_(digests), CatalogModelRow.workspace_id.is_(None))
        assert await session.scalar(wanted) == 2
    members = (await api.with_key(first.strip()).get("/v1/members")).json()["items"]
    assert [member["role"] for member in members] == ["admin"]

    other_file, elsewhere = tmp_path / "other.key", f"elsewhere-{uuid4().hex[:12]}"
    await bootstrap(api.resources, None, other_file, elsewhere)
    other = api.with_key(other_file.read_text().strip())
    assert [member["role"] for member in (await other.get("/v1/members")).json()["items"]] == ["admin"]
    assert (await other.get("/v1/members")).json()["items"][0]["id"] != members[0]["id"]
    await bootstrap(api.resources, None, key_file)
    assert key_file.read_text() == first, "another workspace changes nothing here"

    secret = parse_api_key(first.strip())
    assert secret is not None
    assert (await api.with_key(str(secret)).delete(f"/v1/api-keys/{secret.api_key_id}")).status_code == 204
    await bootstrap(api.resources, cards, key_file)
    assert key_file.read_text() != first
    assert (await api.with_key(key_file.read_text().strip()).get("/v1/members")).status_code == 200
