import re

import pytest

from tests.support.api import Api

pytestmark = pytest.mark.asyncio


async def test_the_documentation_loads_nothing_from_elsewhere(api: Api) -> None:
    page = await api.client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for address in loaded:
        assert "//" not in address
        found = await api.client.get(f"/{address}")
        assert (found.status_code, len(found.content) > 500) == (200, True)
    assert (await api.client.get("/openapi.json")).status_code == 200
