"""A world for the quick fault tests: real servers with the stand-in models, shared by the tests of a session."""

import os
from collections.abc import AsyncIterator

import pytest_asyncio

from deploy.local.stack import ROOT
from tests.faults.harness.world import QUICK, World, WorldOptions, opened_world
from tests.faults.scenarios import MODEL
from tests.support.stand_ins import model_store, sleeps


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fault_world() -> AsyncIterator[World]:
    folder = ROOT / "var" / "test" / f"faults-{os.getpid()}"
    models = model_store(folder / "models", [sleeps(slug=MODEL, batch_ms=40, row_ms=8, max_batch=8)])
    async with opened_world(folder, WorldOptions(models, QUICK)) as found:
        yield found
