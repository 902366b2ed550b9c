"""Re-projection of stored detections on real PostgreSQL: exact, whoever decides or dies meanwhile."""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import select, text

from deploy.local.stack import ROOT
from services.api.model_runs.ledger import read_ledger
from services.api.projections.operation import KIND, Realignment
from services.api.projections.reproject import add_version, reproject
from services.api.settings import WorkerSettings
from shared.alignment import Alignment, AlignmentEntry, Detection, Target
from shared.annotations import ANNOTATION, FeatureType
from shared.conditions import Condition, Range
from shared.database.engine import Sessions, create_engine, create_sessions
from shared.database.operations import NewOperation, add_operation
from shared.database.tables import DataRowReviewRow, DecisionRow, ModelRunRow, RowProjectionRow
from shared.database.unit_of_work import unit_of_work
from shared.ids import new_id
from shared.object_store import ObjectStore
from shared.selection import SHOWN
from shared.selection import select as select_shown
from shared.signals import Signals
from tests.support.finished import CLASSES, Features, add_finished_run
from tests.support.operations import read, until_state
from tests.support.workers import make_signals
from tests.support.world import World, make_world

pytestmark = pytest.mark.asyncio


@dataclass
class Archive:
    """A project with a finished run."""

    world: World
    sessions: Sessions
    signals: Signals
    features: Features
    run_id: UUID

    async def run(self) -> ModelRunRow:
        return await self.world.run(self.run_id)

    async def reproject(self, entries: tuple[AlignmentEntry, ...]) -> None:
        async with unit_of_work(self.sessions, self.signals, "member:test") as work:
            run = await work.session.get_one(ModelRunRow, self.run_id, with_for_update=True)
            await reproject(work, run, entries, self.world.member_id)

    async def begin(self, entries: tuple[AlignmentEntry, ...]) -> UUID:
        """As a PATCH leaves an operation."""
        async with unit_of_work(self.sessions, self.signals, "member:test") as work:
            run = await work.session.get_one(ModelRunRow, self.run_id)
            version = await add_version(work, run, entries, self.world.member_id)
            wanted = Realignment(model_run_id=run.id, version=version, replaces=run.alignment_version)
            parameters = wanted.model_dump(mode="json")
            member = self.world.member_id
            new = NewOperation(KIND, run.workspace_id, run.project_id, parameters, member)
            return (await add_operation(work, new)).id

    async def ledger(self) -> dict[str, Counter[str]]:
        """By class, and seen to be exact."""
        async with self.sessions() as session:
            found = await read_ledger(session, await session.get_one(ModelRunRow, self.run_id))
        for one in found.classes:
            assert one.raw == one.shown + sum(one.dropped.values())
            assert one.shown == one.pending + one.accepted + one.edited + one.rejected
            assert one.pending >= 0
        return {one.model_class: Counter({**one.dropped, SHOWN: one.shown}) for one in found.classes}

    async def projections(self) -> dict[UUID, tuple[int, float]]:
        async with self.sessions() as session:
            run = await session.get_one(ModelRunRow, self.run_id)
            found = await session.scalars(
                select(RowProjectionRow).where(
                    RowProjectionRow.model_run_id == run.id,
                    RowProjectionRow.alignment_version == run.alignment_version,
                )
            )
            return {row.data_row_id: (row.shown, row.uncertainty) for row in found}

    async def detections(self) -> dict[UUID, list[Detection]]:
        """All of them, as pydantic objects."""
        found: dict[UUID, list[Detection]] = {}
        for row in await self.world.detections(self.run_id):
            found.setdefault(row.data_row_id, []).append(
                Detection(
                    ordinal=row.ordinal,
                    model_class=row.model_class,
                    confidence=row.confidence,
                    area=row.area,
                    attributes=row.attributes or {},
                    annotation=ANNOTATION.validate_python(row.annotation),
                )
            )
        return found

    async def decide(self, data_row_id: UUID, ordinal: int, entry: AlignmentEntry) -> None:
        """As the review does: the run held, the review raised, a copy of what was shown kept."""
        async with self.sessions.begin() as session:
            run = await session.get_one(ModelRunRow, self.run_id, with_for_update={"read": True})
            of = {"workspace_id": run.workspace_id, "project_id": run.project_id, "data_row_id": data_row_id}
            review = await session.get(DataRowReviewRow, data_row_id)
            if review is None:
                session.add(review := DataRowReviewRow(**of, revision=0, state="open"))
            review.revision += 1
            shown = {"model_class": entry.model_class, "alignment_version": run.alignment_version}
            session.add(
                DecisionRow(
                    **of,
                    id=new_id(),
                    action="accept",
                    model_run_id=run.id,
                    ordinal=ordinal,
                    feature_schema_id=entry.target.feature_schema_id,
                    shown=shown,
                    revision=review.revision,
                    decided_by=self.world.member_id,
                )
            )


@pytest_asyncio.fixture
async def archive(service_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Archive]:
    engine = create_engine(WorkerSettings(), "tests")
    sessions, signals = create_sessions(engine), make_signals()
    world = await make_world(sessions, ObjectStore(f"file://{tmp_path}"))
    features = Features.new()
    run_id = await add_finished_run(world, signals, features, rows=60)
    yield Archive(world, sessions, signals, features, run_id)
    await signals.close()
    await engine.dispose()


def some_entries(chance: random.Random) -> tuple[AlignmentEntry, ...]:
    """Of all that an entry may say: classes twice or not at all, other types, conditions, counts, areas."""
    targets = [new_id() for _ in range(6)]
    found = []
    for _ in range(chance.randrange(12)):
        kind = chance.choice([FeatureType.BOUNDING_BOX, FeatureType.POLYGON, FeatureType.POINT, FeatureType.MASK])
        found.append(
            AlignmentEntry(
                model_class=chance.choice(CLASSES),
                target=Target(feature_schema_id=chance.choice(targets)),
                target_type=kind,
                threshold=chance.choice([0.05, 0.3, 0.5, 0.9]),
                when=chance.choice([None, None, Condition(confidence=Range(minimum=0.2, maximum=0.8))]),
                min_area=chance.choice([None, None, 150.0, 250.0]),
                max_count=chance.choice([None, None, 1, 2]),
            )
        )
    return tuple(found)


def brute_force(
    rows: Mapping[UUID, list[Detection]], entries: tuple[AlignmentEntry, ...]
) -> tuple[dict[str, Counter[str]], dict[UUID, tuple[int, float]]]:
    ledger: dict[str, Counter[str]] = {}
    views = {}
    for data_row_id, detections in rows.items():
        selection = select_shown(detections, Alignment(entries=entries))
        for (model_class, reason), count in selection.ledger.items():
            ledger.setdefault(model_class, Counter())[reason] += count
        views[data_row_id] = (len(selection.shown), selection.uncertainty)
    return ledger, views


async def test_any_alignment_gives_what_select_gives_of_each_row(archive: Archive) -> None:
    chance = random.Random(20261124)
    rows = await archive.detections()
    for version in range(2, 22):
        entries = some_entries(chance)
        await archive.reproject(entries)
        assert (await archive.run()).alignment_version == version
        ledger, views = brute_force(rows, entries)
        assert {name: +counts for name, counts in (await archive.ledger()).items()} == ledger
        assert await archive.projections() == views
    async with archive.sessions() as session:
        versions = await session.scalars(text("SELECT DISTINCT alignment_version FROM row_projections ORDER BY 1"))
    assert list(versions) == [20, 21], "the present version, and the one before for readers that began with it"


async def test_decisions_are_kept_whatever_the_alignment_says(archive: Archive) -> None:
    chance = random.Random(7)
    rows = await archive.detections()
    entries = archive.features.entries(0.5)
    decided: set[tuple[UUID, int]] = set()
    for _ in range(6):
        selections = {key: select_shown(found, Alignment(entries=entries)) for key, found in rows.items()}
        for data_row_id in chance.sample(sorted(rows), 15):
            for one in selections[data_row_id].visible[:1]:
                if (data_row_id, one.detection.ordinal) not in decided:
                    await archive.decide(data_row_id, one.detection.ordinal, one.entry)
                    decided.add((data_row_id, one.detection.ordinal))
        entries = archive.features.entries(chance.choice([0.1, 0.6, 0.95]), classes=chance.randrange(1, 10))
        await archive.reproject(entries)
        views = await archive.projections()
        ledger = await archive.ledger()
        expected: dict[str, int] = {}
        for data_row_id, found in rows.items():
            visible = {one.detection.ordinal for one in select_shown(found, Alignment(entries=entries)).visible}
            kept = {ordinal for row_id, ordinal in decided if row_id == data_row_id}
            assert views[data_row_id][0] == len(visible | kept)
            for detection in found:
                if detection.ordinal in visible | kept:
                    expected[detection.model_class] = expected.get(detection.model_class, 0) + 1
        assert {name: counts[SHOWN] for name, counts in ledger.items() if counts[SHOWN]} == expected
    assert len(decided) > 40


async def _worker(environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    given = {**os.environ, **environment, "OPERATIONS_METRICS_PORT": str(20_000 + random.randrange(10_000))}
    arguments = (sys.executable, "-m", "services.api.worker")
    return await asyncio.create_subprocess_exec(*arguments, env=given, cwd=ROOT)


async def test_a_killed_worker_and_decisions_meanwhile_cost_nothing(
    archive: Archive, service_environment: dict[str, str]
) -> None:
    run_id = await add_finished_run(archive.world, archive.signals, archive.features, rows=12_000)
    large = Archive(archive.world, archive.sessions, archive.signals, archive.features, run_id)
    run = await large.run()
    rows = run.total
    operation_id = await large.begin(large.features.entries(0.9))
    environment = {**service_environment, "OPERATIONS_LEASE_SECONDS": "2", "OPERATIONS_HEARTBEAT_SECONDS": "0.5"}
    process = await _worker(environment)
    while (await read(large.sessions, operation_id)).progress["done"] == 0:
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    killed = await read(large.sessions, operation_id)
    assert (killed.state, killed.attempts) == ("running", 1)
    assert 0 < killed.progress["done"] < run.detections
    assert (await large.run()).alignment_version == 1
    # Decided in a row that is done already, and in one that is not; neither is shown at the new threshold.
    for data_row_id, ordinal in await _unsure(large):
        await large.decide(data_row_id, ordinal, large.features.entries(0.5)[0])

    process = await _worker(environment)
    try:
        ended = await until_state(large.sessions, operation_id, "succeeded", "failed", seconds=60)
    finally:
        process.terminate()
        await process.wait()
    assert (ended.state, ended.attempts, ended.progress["done"]) == ("succeeded", 2, run.detections)
    assert (await large.run()).alignment_version == 2
    assert len(await large.projections()) == rows
    ledger = await large.ledger()
    assert sum(sum(counts.values()) for counts in ledger.values()) == run.detections
    async with large.sessions() as session:
        sure = await session.scalar(
            text("SELECT count(*) FROM detections WHERE model_run_id = :run AND confidence >= 0.9"), {"run": run_id}
        )
    assert sum(counts[SHOWN] for counts in ledger.values()) == sure + 2
    assert await _realigned(large) == 1


async def _unsure(archive: Archive) -> list[tuple[UUID, int]]:
    """A detection between the old threshold and the new one in the first and in the last data row that has one."""
    wanted = """
        SELECT data_row_id, ordinal FROM detections
        WHERE model_run_id = :run AND confidence BETWEEN 0.5 AND 0.8 AND model_class = 'class-0'
        ORDER BY data_row_id {} LIMIT 1
    """
    async with archive.sessions() as session:
        found: list[Any] = []
        for order in ("ASC", "DESC"):
            found += (await session.execute(text(wanted.format(order)), {"run": archive.run_id})).all()
    return [(data_row_id, ordinal) for data_row_id, ordinal in found]


async def _realigned(archive: Archive) -> int:
    return sum(kind == "model_run.realigned" for _, kind in await archive.world.event_types())
