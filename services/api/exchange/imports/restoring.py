"""Reviews and decisions that come in, whole or not at all: onto data rows that nobody has decided about here."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.exchange.formats.base import Place, Refused
from services.api.exchange.histories import DECIDED_HERE, LEFT_OPEN, LOSSES, DecisionRecord, History
from services.api.exchange.imports.content import content, content_of
from services.api.exchange.imports.order import ImportGround
from services.api.exchange.imports.replaying import Replayed, does_not_fit, in_order, replay
from services.api.exchange.imports.report import line, refused_line
from services.api.exchange.imports.spill import Record
from services.api.exchange.provenance import wrapped
from services.api.review.fitting import Ground
from services.api.review.queries import mark_submitted
from services.api.review.settled import Settled
from shared.annotations import ANNOTATION
from shared.answers import Answer
from shared.database.driver import Driver, driver_of
from shared.ids import new_id

_LABELS = """
    SELECT id, external_id, data_row_id, feature_schema_id, annotation::text, classifications::text, deleted_at
    FROM labels WHERE workspace_id = $1 AND project_id = $2
    AND (data_row_id = ANY($3) OR external_id = ANY($4) OR id::text = ANY($4))
"""
_DECIDED = """
    SELECT data_row_id, coalesce(origin ->> 'id', id::text) FROM decisions
    WHERE workspace_id = $1 AND data_row_id = ANY($2)
"""
_REVIEWS = """
    SELECT data_row_id, state, revision, seconds, origin IS NOT NULL AS restored FROM data_row_reviews
    WHERE workspace_id = $1 AND data_row_id = ANY($2)
"""
_STAND = """
    UPDATE labels l SET decision_id = n.decision_id FROM unnest($2::uuid[], $3::uuid[]) AS n(id, decision_id)
    WHERE l.workspace_id = $1 AND l.id = n.id
"""
_REVIEWED = """
    UPDATE data_row_reviews v SET revision = n.revision, state = n.state, origin = n.origin::jsonb, updated_at = $6,
        submitted_by = CASE WHEN n.state = 'submitted' THEN $7::uuid END,
        submitted_at = CASE WHEN n.state = 'submitted' THEN $6::timestamptz END
    FROM unnest($2::uuid[], $3::int[], $4::text[], $5::text[]) AS n(id, revision, state, origin)
    WHERE v.workspace_id = $1 AND v.data_row_id = n.id
"""
_DECISIONS = (
    *("id", "workspace_id", "project_id", "data_row_id", "action", "feature_schema_id", "option_id"),
    *("shown", "before", "made", "difference", "label_id", "replaces", "undoes", "undone", "revision"),
    *("decided_by", "decided_at", "origin"),
)
_GONE = (
    *("id", "workspace_id", "project_id", "data_row_id", "feature_schema_id", "annotation", "classifications"),
    *("provenance", "external_id", "created_by", "created_at", "updated_at", "deleted_at"),
)
_NAMES_ELSEWHERE = {"id", "model_run_id", "ordinal", "operation_id", "policy_id", "decided_by", "decided_at"}


@dataclass(frozen=True, slots=True)
class Hand:
    """Who imports, when, and what import it is."""

    ground: ImportGround
    required: Ground
    about: Mapping[str, Any]
    member_id: UUID
    at: datetime


@dataclass(slots=True)
class _Present:
    """What is there of some data rows, their labels of this import among it."""

    by_name: dict[str, Any]
    by_row: Mapping[UUID, list[Any]]
    decided: Mapping[UUID, set[str]]
    reviews: Mapping[UUID, Any]


@dataclass(slots=True)
class Restoring:
    """What comes in, and then what of it is written. `counts` are of decisions."""

    hand: Hand
    coming: Sequence["_Coming"]
    present: _Present
    lines: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    decisions: list[Record] = field(default_factory=list)
    gone: list[Record] = field(default_factory=list)
    standing: dict[UUID, UUID] = field(default_factory=dict)
    reviews: list[tuple[UUID, int, str, str | None]] = field(default_factory=list)

    def take(self) -> None:
        """Pure, for a thread."""
        for one in self.coming:
            try:
                self._take(one.data_row_id, one.place, one.history)
            except Refused as error:
                decisions = len(one.history.decisions)
                self.counts["left_out"] += decisions
                self.hand.ground.losses.count("decisions", error.code, decisions or 1)
                self.lines.append(refused_line(one.place, None, error))

    def _take(self, row_id: UUID, place: Place, history: History) -> None:
        review, decided = self.present.reviews[row_id], self.present.decided.get(row_id, set())
        sent = {str(one.id) for one in history.decisions}
        if decided or review["restored"] or review["state"] != "open" or review["seconds"] is not None:
            if not sent <= decided:
                raise Refused(DECIDED_HERE, LOSSES[DECIDED_HERE], "/decisions")
            self.counts["unchanged"] += len(sent)
            return
        ordered = in_order(history.decisions)
        replayed = replay(ordered)
        self._check(row_id, replayed)
        names = self._labels(row_id, replayed)
        ids = {one.id: new_id() for one in ordered}
        self._decide(row_id, ordered, names, ids)
        self.standing |= {names[name]: ids[one] for name, one in replayed.standing.items() if name in replayed.live}
        self._review(row_id, history)
        self.counts["created"] += len(sent)
        self.lines.append(line(place, "restored", data_row_id=row_id, decisions=len(sent)))

    def _check(self, row_id: UUID, replayed: Replayed) -> None:
        """That what people decided leads to the labels that are there now."""
        for name, said in replayed.live.items():
            found = self.present.by_name.get(name)
            if found is None or found["deleted_at"] is not None or _content(found) != content_of(said):
                raise does_not_fit()
        for name in (*replayed.live, *replayed.gone):
            found = self.present.by_name.get(name)
            if found is not None and found["data_row_id"] != row_id:
                raise does_not_fit()
        if any((found := self.present.by_name.get(name)) and found["deleted_at"] is None for name in replayed.gone):
            raise does_not_fit()

    def _labels(self, row_id: UUID, replayed: Replayed) -> dict[str, UUID]:
        """By name; those that were deleted are made, so that they stay deleted, and an undo finds them."""
        known, project, at = self.present.by_name, self.hand.ground.project, self.hand.at
        names = {name: known[name]["id"] for name in (*replayed.live, *replayed.gone) if name in known}
        for name, said in replayed.gone.items():
            if name not in names:
                names[name] = new_id()
                said_here = (said["feature_schema_id"], _json(said["annotation"]), _json(said["classifications"]))
                self.gone.append(
                    (names[name], project.workspace_id, project.id, row_id, *said_here,
                     _json(wrapped({}, self.hand.about)), name, self.hand.member_id, at, at, at)
                )  # fmt: skip
        return names

    def _decide(
        self, row_id: UUID, ordered: Sequence[DecisionRecord], names: Mapping[str, UUID], ids: Mapping[UUID, UUID]
    ) -> None:
        project = self.hand.ground.project
        called = {str(there): str(here) for there, here in ids.items()}
        for one in ordered:
            self.decisions.append(
                (
                    *(ids[one.id], project.workspace_id, project.id, row_id, one.action),
                    *(one.feature_schema_id, one.option_id),
                    *map(_json, (one.shown, self._before(one, called), one.made, one.difference)),
                    *(one.label_id and names.get(one.label_id), one.replaces and ids[one.replaces]),
                    *(one.undoes and ids[one.undoes], one.undone, one.revision),
                    *(self.hand.member_id, self.hand.at, _json(one.model_dump(include=_NAMES_ELSEWHERE))),
                )
            )

    def _before(self, one: DecisionRecord, called: Mapping[str, str]) -> dict[str, Any] | None:
        """An undo of it gives the label back what it had, so that has to be ours."""
        if one.before is None:
            return None
        former = str(one.before.get("decision_id"))
        provenance = one.before.get("provenance")
        sent = provenance if isinstance(provenance, dict) else {}
        return {**one.before, "provenance": wrapped(sent, self.hand.about), "decision_id": called.get(former)}

    def _review(self, row_id: UUID, history: History) -> None:
        sent, present = history.review, self.present.reviews[row_id]
        state = sent.state
        if state == "submitted" and not self._is_complete(row_id, sent.labels):
            state = "open"
            self.hand.ground.losses.count("decisions", LEFT_OPEN)
        least = max((one.revision for one in history.decisions), default=0)
        revision = max(sent.revision, least, present["revision"] + 1)
        origin = _json(sent.model_dump(include={"submitted_by", "submitted_at", "seconds"}))
        self.reviews.append((row_id, revision, state, origin))

    def _is_complete(self, row_id: UUID, labels: int | None) -> bool:
        live = [_settled(one) for one in self.present.by_row.get(row_id, ()) if one["deleted_at"] is None]
        required = self.hand.required
        if len(live) != labels or any(True for _ in required.missing_in_row(live)):
            return False
        return not any(True for label in live for _ in required.missing(label))

    @property
    def data_rows(self) -> set[UUID]:
        return {row_id for row_id, _, _, _ in self.reviews}

    async def write(self, session: AsyncSession) -> None:
        driver, project = await driver_of(session), self.hand.ground.project
        await driver.copy_records_to_table("labels", records=self.gone, columns=_GONE)
        await driver.copy_records_to_table("decisions", records=self.decisions, columns=_DECISIONS)
        await driver.execute(_STAND, project.workspace_id, list(self.standing), list(self.standing.values()))
        if self.reviews:
            columns = [list(column) for column in zip(*self.reviews, strict=True)]
            await driver.execute(_REVIEWED, project.workspace_id, *columns, self.hand.at, self.hand.member_id)
        submitted = [row_id for row_id, _, state, _ in self.reviews if state == "submitted"]
        if submitted:
            await mark_submitted(session, project.id, submitted, submitted=True)


@dataclass(frozen=True, slots=True)
class _Coming:
    data_row_id: UUID
    place: Place
    history: History


async def restoring(session: AsyncSession, hand: Hand, records: Sequence[Record]) -> Restoring:
    """Of `records` that say a history; the reviews of their data rows are held."""
    if not records:
        return Restoring(hand, (), _Present({}, {}, {}, {}))
    coming = [_Coming(UUID(bytes=row), place, History.model_validate_json(said)) for row, place, said in records]
    names = list({name for one in coming for decision in one.history.decisions if (name := decision.label_id)})
    present = await _present(await driver_of(session), hand, [one.data_row_id for one in coming], names)
    return Restoring(hand, coming, present)


async def _present(driver: Driver, hand: Hand, rows: Sequence[UUID], names: Sequence[str]) -> _Present:
    workspace_id, project_id = hand.ground.project.workspace_id, hand.ground.project.id
    by_name: dict[str, Any] = {}
    by_row: defaultdict[UUID, list[Any]] = defaultdict(list)
    for found in await driver.fetch(_LABELS, workspace_id, project_id, rows, names):
        by_name[str(found["id"])] = found
        if found["external_id"]:
            by_name[found["external_id"]] = found
        by_row[found["data_row_id"]].append(found)
    decided: defaultdict[UUID, set[str]] = defaultdict(set)
    for row_id, called in await driver.fetch(_DECIDED, workspace_id, rows):
        decided[row_id].add(called)
    reviews = {one["data_row_id"]: one for one in await driver.fetch(_REVIEWS, workspace_id, rows)}
    return _Present(by_name, by_row, decided, reviews)


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value, default=str).decode()


def _content(found: Any) -> tuple[Any, ...]:
    return content(found["feature_schema_id"], found["annotation"], found["classifications"])


def _settled(found: Any) -> Settled:
    answers = tuple(Answer.model_validate(one) for one in orjson.loads(found["classifications"]))
    return Settled(found["feature_schema_id"], ANNOTATION.validate_json(found["annotation"]), answers)
