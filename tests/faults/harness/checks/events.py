"""Promise 4: logs without gaps, and every subscriber gets exactly what it missed and what comes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.harness.checks.base import Violation, ViolationName, data_of, events_of
from tests.faults.harness.database import Database, Row, Stream
from tests.faults.harness.history import Entry, History

_MOST_MISSED = 10_000


def gapless(history: History, database: Database) -> Iterator[Violation]:
    del history
    for stream in database.streams.values():
        offsets = [event["offset"] for event in stream.events]
        if offsets != list(range(stream.first_offset, stream.last_offset + 1)):
            missing = sorted(set(range(stream.first_offset, stream.last_offset + 1)) - set(offsets))
            beyond = [offset for offset in offsets if offset > stream.last_offset]
            yield Violation("gap_in_stream", stream.id, f"missing {missing[:10]}, beyond the head {beyond[:10]}")
        ids = [event["event_id"] for event in stream.events]
        if len(set(ids)) != len(ids):
            yield Violation("event_logged_twice", stream.id, "one event has two offsets")


def snapshots(history: History, database: Database) -> Iterator[Violation]:
    """A run's snapshot is of the moment of its offset: its state is that of the last event up to there."""
    for entry in history.frames():
        kind, _, run_id = entry["topic"].partition(":")
        snapshot, run = entry["message"].get("snapshot"), database.runs.get(run_id)
        if kind != "model_run" or not snapshot or run is None:
            continue
        offset = entry["message"]["offset"]
        states = [data_of(event)["state"] for event in events_of(database, run) if event["offset"] <= offset]
        if states and snapshot["state"] != states[-1]:
            detail = f"{snapshot['state']} at {offset}, where the log says {states[-1]}"
            yield Violation("snapshot_differs", f"subscriber {entry['subscriber']}", detail)


def told_exactly(history: History, database: Database) -> Iterator[Violation]:
    followers: dict[str, _Follower] = {}
    for entry in history.frames():
        name, topic = entry["subscriber"], entry["topic"]
        if name not in followers:
            stream = database.followed(topic)
            if stream is None:
                continue
            followers[name] = _Follower(name, stream, database.wanted(topic))
        yield from followers[name].hears(entry)
    for follower in followers.values():
        yield from follower.ends()


@dataclass
class _Follower:
    """Goes through what one subscriber was told. `wanted` are the events of its topic by offset."""

    name: str
    stream: Stream
    wanted: Mapping[int, Row]
    offset: int | None = None
    connection: int = 0
    fresh: bool = field(default=False)

    def hears(self, entry: Entry) -> Iterator[Violation]:
        message = entry["message"]
        if message["type"] == "subscribed":
            yield from self._subscribed(message, entry["after"], entry["connection"])
        elif message["type"] == "event":
            yield from self._event(message)
        elif message["type"] == "position":
            yield from self._moves(message["offset"])

    def ends(self) -> Iterator[Violation]:
        """The world is quiet and this one has heard all that there is."""
        if self.offset is not None:
            yield from self._skipped(self.stream.last_offset + 1)

    def _subscribed(self, message: dict[str, Any], after: Any, connection: int) -> Iterator[Violation]:
        first, self.connection = connection != self.connection, connection
        asked = after["offset"] if after and first else self.offset
        if message["recovered"]:
            if message["offset"] != asked:
                yield self._violation("resumed_elsewhere", f"asked for {asked}, got {message['offset']}")
            return  # it stands where it stood: what it missed must come now
        if asked is not None and self._could_go_on(after, asked):
            yield self._violation("refetch_without_reason", f"it stood at {asked}")
        self.offset = message["offset"]

    def _could_go_on(self, after: Any, asked: int) -> bool:
        known = after is None or after["epoch"] == self.stream.epoch
        enough = self.stream.first_offset - 1 <= asked <= self.stream.last_offset
        return known and enough and self.stream.last_offset - asked <= _MOST_MISSED

    def _event(self, message: dict[str, Any]) -> Iterator[Violation]:
        offset = message["offset"]
        logged = self.wanted.get(offset)
        if logged is None:
            yield self._violation("event_not_in_log", f"{offset}: {message['event']['type']}")
        elif logged["payload"] != message["event"]:
            yield self._violation("event_differs", f"{offset}: not what the log says")
        if self.offset is not None and offset <= self.offset:
            yield self._violation("event_doubled", f"{offset} after {self.offset}")
            return
        yield from self._moves(offset)

    def _moves(self, offset: int) -> Iterator[Violation]:
        yield from self._skipped(offset)
        self.offset = max(offset, self.offset or 0)

    def _skipped(self, offset: int) -> Iterator[Violation]:
        """Wanted events between where it stands and this offset, which it never got."""
        stood = self.offset or 0
        for missed in range(stood + 1, offset):
            if missed in self.wanted:
                yield self._violation("event_missed", f"{missed}: {self.wanted[missed]['type']}; it stood at {stood}")

    def _violation(self, name: ViolationName, detail: str) -> Violation:
        return Violation(name, f"subscriber {self.name}", detail)
