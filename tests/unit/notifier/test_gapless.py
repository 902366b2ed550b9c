"""Whatever happens when: every client sees every offset once and in order, or is told to start anew."""

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.catch_up import CatchUp, Pace
from services.notifier.client import Client
from services.notifier.hub import Hub
from services.notifier.stream import Subscription
from services.notifier.tail import Tail
from services.notifier.topics import Selector, Topic, selectors_of
from shared.contracts.messages import Position
from shared.database.event_log import LoggedEvent
from shared.errors import Unavailable
from tests.unit.notifier.doubles import IDENTITY, MAX_MISSED, FakeTopic, FakeWire, RacingLog, new_client

_STREAM, _RUN, _OTHER = uuid4(), uuid4(), uuid4()
_SELECTORS: tuple[Selector, ...] = ("all", _RUN, "notifying")


@dataclass
class Follower:
    """A client with one subscription, and what it knows when it comes back."""

    selector: Selector
    client: Client
    wire: FakeWire
    subscription: Subscription
    after: Position | None

    @property
    def position(self) -> Position | None:
        """Where it would resume."""
        place: Position | None = None
        for message in self.wire.messages:
            epoch = message.get("epoch") or (place.epoch if place else "")
            if "offset" in message:
                place = Position(epoch=epoch, offset=message["offset"])
        return place or self.after


@dataclass
class World:
    log: RacingLog
    followers: list[Follower] = field(default_factory=list)
    gone: list[Follower] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stopped: list[CatchUp | Tail] = []
        self.start()

    def start(self) -> None:
        """As a new process: it knows of nobody."""
        self.hub = Hub()
        self.tail = Tail(self.log, self.hub, page_size=3)
        pace = Pace(
            page_size=3, readers=2, max_missed=MAX_MISSED, slow_client_seconds=60, retry_seconds=0, max_retry_seconds=0
        )
        self.catch_up = CatchUp(self.log, self.hub, pace, self.tail.wake)
        self.tail.on_history_lost = self.catch_up.restart

    def subscribe(self, selector: Selector, after: Position | None) -> None:
        client, wire = new_client()
        topic = FakeTopic(Topic(_STREAM, selector))
        subscription = Subscription(id="1", client=client, identity=IDENTITY, wanted=topic)  # type: ignore[arg-type]
        client.subscriptions["1"] = subscription
        self.followers.append(Follower(selector, client, wire, subscription, after))
        self.catch_up.start(subscription, after)

    def disconnect(self, which: int) -> None:
        if self.followers:
            follower = self.followers.pop(which % len(self.followers))
            self.gone.append(follower)
            follower.client.ended()
            self.hub.leave(follower.subscription)

    def resume(self, which: int) -> None:
        if self.gone:
            old = self.gone[which % len(self.gone)]
            self.subscribe(old.selector, old.position)

    def restart(self) -> None:
        """All clients are cut off; what the old process had under way reaches nobody."""
        while self.followers:
            self.disconnect(0)
        self.stopped += [self.catch_up, self.tail]
        self.start()

    async def settle(self) -> None:
        """The parts are back; after a while everybody has everything."""
        self.log.is_away = False
        for follower in self.followers:
            follower.wire.open()
        for _ in range(4):
            await self.tail.look()
            for _ in range(300):
                await asyncio.sleep(0)


Step = Callable[[World], None]


def _hint(world: World) -> None:
    world.tail._hinted(_STREAM)


def _look(world: World) -> None:
    async def look() -> None:
        try:
            await world.tail.look()
        except Unavailable:
            return

    world.looks = [*getattr(world, "looks", []), asyncio.ensure_future(look())]  # type: ignore[attr-defined]


def _wires(is_writable: bool) -> Step:
    def step(world: World) -> None:
        for follower in world.followers:
            if is_writable:
                follower.wire.open()
            else:
                follower.wire.is_writable = False

    return step


def _append(count: int, subject_id: UUID, type_: str) -> Step:
    def step(world: World) -> None:
        for _ in range(count):
            world.log.append(subject_id, type_)

    return step


def _away(is_away: bool) -> Step:
    return lambda world: setattr(world.log, "is_away", is_away)


_numbers = st.integers(0, 40)
_steps = st.one_of(
    st.builds(
        _append,
        st.integers(1, 5),
        st.sampled_from([_RUN, _OTHER]),
        st.sampled_from(["project.updated", "model_run.completed"]),
    ),
    st.sampled_from([_hint, _look, _hint, _look, _away(True), _away(False), _wires(True), _wires(False)]),
    st.builds(lambda selector: lambda world: world.subscribe(selector, None), st.sampled_from(_SELECTORS)),
    st.builds(
        lambda selector, offset: (
            lambda world: world.subscribe(selector, Position(epoch=str(world.log.epoch), offset=offset))
        ),
        st.sampled_from(_SELECTORS),
        _numbers,
    ),
    st.builds(lambda which: lambda world: world.disconnect(which), _numbers),
    st.builds(lambda which: lambda world: world.resume(which), _numbers),
    st.just(lambda world: world.restart()),
    st.builds(lambda offset: lambda world: world.log.trim(offset), _numbers),
    st.builds(lambda offset: lambda world: world.log.lose_history(offset), _numbers),
)


@settings(max_examples=200)
@given(
    steps=st.lists(st.tuples(_steps, st.sampled_from([0, 1, 3, 12])), max_size=40),
    delays=st.lists(st.integers(0, 3), min_size=1, max_size=12),
)
def test_every_offset_once_and_in_order_or_a_fresh_start(steps: list[tuple[Step, int]], delays: list[int]) -> None:
    asyncio.run(_play(steps, delays))


async def _play(steps: list[tuple[Step, int]], delays: list[int]) -> None:
    world = World(RacingLog(_STREAM, itertools.cycle(delays)))
    for step, pause in steps:
        step(world)
        for _ in range(pause):
            await asyncio.sleep(0)
    await world.settle()
    for follower in world.followers:
        _check(follower, world.log, complete=True)
    for follower in world.gone:
        _check(follower, world.log, complete=False)
    for part in (*world.stopped, world.catch_up, world.tail):
        await part.stop()


def _check(follower: Follower, log: RacingLog, *, complete: bool) -> None:
    runs = _runs(follower.wire.messages)
    for index, (start, events) in enumerate(runs):
        is_last = index == len(runs) - 1
        offsets = [event["offset"] for event in events]
        until = log.last_offset if is_last and complete else max(offsets, default=start["offset"])
        wanted = [
            event
            for offset in range(start["offset"] + 1, until + 1)
            if follower.selector in selectors_of(event := _event(log, start["epoch"], offset))
        ]
        assert offsets == [event.offset for event in wanted]
        assert [event["event"] for event in events] == [json.loads(event.payload) for event in wanted]
        if is_last and complete:
            assert start["epoch"] == str(log.epoch)
    if complete:
        assert runs, "nothing was answered"
        assert len(runs) == 1 or log.has_lost_history, "started anew without need"
        first = runs[0][0]
        if first["recovered"]:
            assert follower.after is not None
            assert (first["epoch"], first["offset"]) == (follower.after.epoch, follower.after.offset)


def _event(log: RacingLog, epoch: str, offset: int) -> LoggedEvent:
    return log.written[(epoch, offset)]


def _runs(messages: list[dict[str, Any]]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each `subscribed` with the events that followed it."""
    runs: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for message in messages:
        if message["type"] == "subscribed":
            runs.append((message, []))
        elif message["type"] == "event":
            runs[-1][1].append(message)
    return runs


async def test_another_history_that_has_overtaken_the_cursor_is_noticed() -> None:
    world = World(RacingLog(_STREAM, itertools.repeat(0)))
    _append(5, _RUN, "project.updated")(world)
    world.subscribe("all", None)
    await world.settle()
    world.log.lose_history(3)
    _append(4, _RUN, "project.updated")(world)
    _hint(world)
    for _ in range(20):
        await asyncio.sleep(0)
    await world.settle()
    (follower,) = world.followers
    _check(follower, world.log, complete=True)
    assert [start["offset"] for start, _ in _runs(follower.wire.messages)] == [5, 7]
