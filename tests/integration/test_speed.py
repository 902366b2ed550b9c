"""Workers write into the catalog how fast a model is here."""

import asyncio
import time
from uuid import UUID

from services.inference.settings import InferenceSettings
from shared.database.engine import Sessions, create_engine, create_sessions
from shared.database.tables import CatalogModelRow
from shared.object_store import ObjectStore
from tests.support.workers import FakeTriton, Numbers, submit_numbers, until_ended, working
from tests.support.world import make_world

_ROWS, _BATCH_SECONDS = 320, 0.05


async def test_a_run_measures_its_model(service_environment: dict[str, str], object_store_url: str) -> None:
    engine = create_engine(InferenceSettings(), "test")
    world = await make_world(create_sessions(engine), ObjectStore(object_store_url), "text")

    async def takes_its_time(numbers: Numbers) -> None:
        del numbers
        await asyncio.sleep(_BATCH_SECONDS)

    run_id, _ = await submit_numbers(world, _ROWS, segment_size=64)
    model_id = (await world.run(run_id)).catalog_model_id
    began = time.monotonic()
    async with working(world, FakeTriton(takes_its_time)):
        assert await until_ended(world, run_id) == "completed"
        took = time.monotonic() - began
        async with asyncio.timeout(10):
            while (model := await _model(world.sessions, model_id)).rows_per_second is None:
                await asyncio.sleep(0.05)
    at_least = _ROWS / took
    # Two lanes with four batches of 16 rows each under way at best.
    at_most = 2 * 4 * 16 / _BATCH_SECONDS
    assert at_least * 0.9 < model.rows_per_second < at_most
    assert model.speed_samples >= 1
    assert 0 < model.speed_seconds <= took
    await engine.dispose()


async def _model(sessions: Sessions, model_id: UUID | None) -> CatalogModelRow:
    async with sessions() as session:
        return await session.get_one(CatalogModelRow, model_id)
