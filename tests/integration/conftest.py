"""A world of texts for tests of workers; `image_world` is one of pictures."""

from collections.abc import AsyncIterator

import pytest

from services.inference.settings import InferenceSettings
from services.inference.shared_memory import SharedMemory
from shared.database.engine import Sessions, create_engine, create_sessions
from shared.object_store import ObjectStore
from shared.signals import Signals
from tests.support.memory import MOST_BYTES
from tests.support.workers import make_signals
from tests.support.world import World, make_world


@pytest.fixture
async def sessions(service_environment: dict[str, str]) -> AsyncIterator[Sessions]:
    engine = create_engine(InferenceSettings(database_pool_size=20), "test")
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def world(sessions: Sessions, object_store_url: str) -> World:
    return await make_world(sessions, ObjectStore(object_store_url), "text")


@pytest.fixture
async def image_world(sessions: Sessions, object_store_url: str) -> World:
    return await make_world(sessions, ObjectStore(object_store_url))


@pytest.fixture
async def signals(service_environment: dict[str, str]) -> AsyncIterator[Signals]:
    signals = make_signals()
    yield signals
    await signals.close()


@pytest.fixture
async def memory() -> AsyncIterator[SharedMemory]:
    found = SharedMemory(MOST_BYTES)
    yield found
    found.close()
