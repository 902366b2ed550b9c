"""The event log under many writers: no offset twice, none left out, none seen before those below it."""

import asyncio
import random
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.contracts.envelope import Envelope
from shared.contracts.event import Event
from shared.contracts.events import ApiKeyCreated, BatchCreated, ModelRunCompleted
from shared.contracts.jobs import Doorbell
from shared.database.event_log import LoggedEvent, read_events, read_head
from shared.database.tables import ProjectRow
from shared.database.unit_of_work import unit_of_work
from shared.hints import Hints
from shared.ids import new_id
from shared.queue import JobQueue
from shared.signals import Signals
from tests.support.world import World, make_world

ACTOR = "member:test"


class Undone(Exception):
    """Rolls a unit of work back."""


def batch(world: World, name: str) -> Event:
    return BatchCreated(
        workspace_id=world.workspace_id, project_id=world.project_id, batch_id=new_id(), name=name, size=1
    )


def completed(world: World) -> Event:
    return ModelRunCompleted(
        workspace_id=world.workspace_id,
        project_id=world.project_id,
        model_run_id=new_id(),
        state="completed",
        execution=1,
        total=1,
        succeeded=1,
        failed=0,
        skipped=0,
        detections=0,
    )


async def all_events(world: World, stream_id: UUID) -> list[LoggedEvent]:
    async with world.sessions() as session:
        return await read_events(session, stream_id, 0, 10_000)


async def last_offset(world: World, stream_id: UUID) -> int:
    async with world.sessions() as session:
        head = await read_head(session, stream_id)
    assert head is not None
    return head.last_offset


async def write(world: World, signals: Signals, name: str, *events: Event, undone: bool = False) -> None:
    try:
        async with unit_of_work(world.sessions, signals, ACTOR) as work:
            for event in events:
                work.emit(event)
            await work.session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": random.random() / 100})
            if undone:
                raise Undone(name)
    except Undone:
        pass


async def watch(world: World, stream_id: UUID, until: int, seen: list[int]) -> None:
    """A reader with a cursor, as the notifier has one."""
    cursor = 0
    while cursor < until:
        async with world.sessions() as session:
            for event in await read_events(session, stream_id, cursor, 7):
                seen.append(event.offset)
                cursor = event.offset


async def test_many_writers_leave_no_hole_and_a_reader_sees_none(world: World, signals: Signals) -> None:
    writers, kept = 40, [number for number in range(40) if number % 4]
    tasks = [
        write(world, signals, str(n), *(batch(world, f"{n}-{part}") for part in range(1 + n % 3)), undone=n not in kept)
        for n in range(writers)
    ]
    total = sum(1 + n % 3 for n in kept)
    seen: list[int] = []
    async with asyncio.timeout(30):
        await asyncio.gather(watch(world, world.project_id, total, seen), *tasks)
    assert seen == list(range(1, total + 1))
    events = await all_events(world, world.project_id)
    names = [Envelope.model_validate_json(event.payload).data["name"] for event in events]
    assert {name.partition("-")[0] for name in names} == {str(n) for n in kept}, "what was rolled back left nothing"
    assert await last_offset(world, world.project_id) == total
    for n in kept:
        own = [place for place, name in enumerate(names) if name.startswith(f"{n}-")]
        assert own == list(range(own[0], own[0] + 1 + n % 3)), "events of one transaction stand together"


async def test_streams_count_for_themselves(world: World, signals: Signals) -> None:
    other = await make_world(world.sessions, world.store)
    for one in (world, other, world):
        await write(one, signals, "x", batch(one, "x"))
    assert [event.offset for event in await all_events(world, world.project_id)] == [1, 2]
    assert [event.offset for event in await all_events(other, other.project_id)] == [1]


async def test_what_notifies_is_in_both_streams(world: World, signals: Signals) -> None:
    run = completed(world)
    key = ApiKeyCreated(workspace_id=world.workspace_id, api_key_id=new_id())
    await write(world, signals, "all", batch(world, "quiet"), run, key)
    project, workspace = (
        await all_events(world, world.project_id),
        await all_events(world, world.workspace_id),
    )
    assert [event.type for event in project] == ["batch.created", "model_run.completed"]
    assert [event.type for event in workspace] == ["model_run.completed", "api_key.created"]
    assert project[1].payload == workspace[0].payload, "one event, with one id"
    assert [event.offset for event in workspace] == [1, 2]


async def test_writers_of_both_streams_do_not_lock_each_other_out(world: World, signals: Signals) -> None:
    key = ApiKeyCreated(workspace_id=world.workspace_id, api_key_id=new_id())
    async with asyncio.timeout(20):
        await asyncio.gather(
            *(write(world, signals, "x", key, completed(world), batch(world, "x")) for _ in range(20)),
            *(write(world, signals, "y", completed(world), key) for _ in range(20)),
        )
    assert await last_offset(world, world.project_id) == 60
    assert await last_offset(world, world.workspace_id) == 80


async def test_rows_and_events_are_there_together_or_not_at_all(world: World, signals: Signals) -> None:
    other = new_id()

    async def add_without_a_stream() -> None:
        async with unit_of_work(world.sessions, signals, ACTOR) as work:
            work.session.add(ProjectRow(id=other, workspace_id=world.workspace_id, name="other", media_type="image"))
            work.emit(batch(world, "x"))
            work.emit(batch(world, "x").model_copy(update={"project_id": other}))

    with pytest.raises(LookupError):
        await add_without_a_stream()
    async with world.sessions() as session:
        assert await session.get(ProjectRow, other) is None
    assert await all_events(world, world.project_id) == []


async def test_a_committed_unit_tells_and_an_undone_one_does_not(
    world: World, signals: Signals, redis_url: str
) -> None:
    hints = Hints(redis_url)
    told: asyncio.Queue[object] = asyncio.Queue()

    async def hear() -> None:
        async for hint in hints.listen():
            told.put_nowait(hint)

    listening = asyncio.create_task(hear())
    async with asyncio.timeout(10):
        while told.empty():  # until it listens
            await signals.hints.streams_grew([world.member_id])
            await asyncio.sleep(0.02)
        await write(world, signals, "no", batch(world, "no"), undone=True)
        async with unit_of_work(world.sessions, signals, ACTOR) as work:
            work.emit(batch(world, "yes"))
            work.ring(Doorbell.RUNS)
        heard = {await told.get()}
        while world.project_id not in heard:
            heard.add(await told.get())
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await hints.close()
    assert heard == {world.project_id, world.member_id}


async def test_without_redis_nothing_is_lost(world: World) -> None:
    nowhere = Signals(JobQueue("redis://127.0.0.1:1/0"), Hints("redis://127.0.0.1:1/0"))
    async with unit_of_work(world.sessions, nowhere, ACTOR) as work:
        work.emit(batch(world, "x"))
        work.ring(Doorbell.RUNS)
    await nowhere.close()
    assert await last_offset(world, world.project_id) == 1
