"""The quick cells of the fault matrix, once each, with short leases. `make test-faults` plays all of them."""

import os
from collections.abc import AsyncIterator
from random import SystemRandom

import pytest
import pytest_asyncio

from deploy.local.stack import ROOT
from tests.faults.arena import Arena, opened_arena
from tests.faults.cells import CELLS
from tests.faults.harness.world import QUICK
from tests.faults.matrix import Turn, play_one

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    async with opened_arena(ROOT / "var" / "test" / f"cells-{os.getpid()}", QUICK) as found:
        yield found


@pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.quick])
async def test_a_cell_has_no_violation(arena: Arena, cell: str) -> None:
    seed = SystemRandom().randrange(1_000_000)
    report = await play_one(Turn(1, cell, seed), arena)
    assert report.violations == [], f"seed {seed}"
