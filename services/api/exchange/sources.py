"""Where exported labels come from: a project's labels, or what one run shows. Some hundred data rows at a time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.exchange import queries
from services.api.exchange.provenance import unwrapped
from services.api.exchange.queries import Record, RowFilter
from services.api.exchange.rows import Extras, Json, LabelledRow, LabelRecord, RowFacts
from services.api.model_runs.view import View, Viewed
from shared.annotations import ANNOTATION
from shared.answers import Answer
from shared.database.tables import ModelRunRow, ProjectRow
from shared.pre_label_id import PreLabelId
from shared.run_configuration import RunConfiguration

_ROWS_AT_ONCE = 500
_PRE_LABELLED_AT_ONCE = 200
_REVIEW = ("state", "revision", "submitted_by", "submitted_at", "seconds")
_JSON = ("shown", "before", "made", "difference")
_OURS = ("data_row_id", "origin")


class Source(Protocol):
    async def after(self, last: UUID | None) -> list[LabelledRow]:
        """The next data rows, by id; none at the end."""
        ...


@dataclass(frozen=True)
class Labels:
    """What people settled. `whole`: with reviews and decisions, for a format that holds them."""

    session: AsyncSession
    project: ProjectRow
    wanted: RowFilter
    whole: bool

    async def after(self, last: UUID | None) -> list[LabelledRow]:
        rows = await queries.next_labelled(self.session, self.project, self.wanted, last, _ROWS_AT_ONCE)
        ids = [row.id for row in rows]
        labels: defaultdict[UUID, list[LabelRecord]] = defaultdict(list)
        for found in await queries.labels_of(self.session, self.project, self.wanted, ids):
            labels[found["data_row_id"]].append(_label(found))
        reviews, decisions = await self._reviews(ids), await self._decisions(ids)
        return [
            LabelledRow(
                row,
                labels.get(row.id, ()),
                self._review(reviews.get(row.id), len(labels.get(row.id, ()))),
                decisions.get(row.id, ()),
            )
            for row in rows
        ]

    async def _reviews(self, ids: Sequence[UUID]) -> Mapping[UUID, Record]:
        if not self.whole:
            return {}
        found = await queries.reviews_of(self.session, self.project, ids)
        return {row["data_row_id"]: row for row in found}

    def _review(self, found: Record | None, labels: int) -> Json:
        if found is None or not found["revision"]:
            return {}
        review = {name: found[name] for name in _REVIEW}
        if found["origin"]:
            origin = orjson.loads(found["origin"])
            seconds = [one for one in (origin.pop("seconds"), review["seconds"]) if one is not None]
            review |= {**origin, "seconds": sum(seconds) if seconds else None}
        return review if self.wanted.chooses_labels else {**review, "labels": labels}

    async def _decisions(self, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[Json]]:
        decided: defaultdict[UUID, list[Json]] = defaultdict(list)
        if self.whole:
            found = await queries.decisions_of(self.session, self.project, ids)
            origins = {row["id"]: orjson.loads(row["origin"]) for row in found if row["origin"]}
            for row in found:
                decided[row["data_row_id"]].append(_decision(row, origins))
        return decided


@dataclass(frozen=True)
class PreLabels:
    """What one run shows, pending and decided. One that nobody decided on is gone with an undo of its run."""

    session: AsyncSession
    project: ProjectRow
    run: ModelRunRow
    wanted: RowFilter
    states: frozenset[str]

    @cached_property
    def _about(self) -> Json:
        return {"model_run_id": str(self.run.id), "model_run": self.run.name, **_made_by(self.run)}

    async def after(self, last: UUID | None) -> list[LabelledRow]:
        while rows := await queries.next_of_run(self.session, self.project, self.wanted, last, _PRE_LABELLED_AT_ONCE):
            view = await View.of(self.session, self.run)
            ids = [row.id for row in rows]
            looked, extras = await view.look(ids), await self._extras(ids)
            found = [LabelledRow(row, self._records(row, looked[row.id], extras)) for row in rows]
            found = [row for row in found if row.labels or self.wanted.empty_rows]
            if found:
                return found
            last = rows[-1].id
        return []

    async def _extras(self, ids: Sequence[UUID]) -> Mapping[tuple[UUID, int], Extras]:
        return await queries.extras_of(self.session, self.run, ids) if self.run.purpose == "import" else {}

    def _records(
        self, row: RowFacts, viewed: Iterable[Viewed], extras: Mapping[tuple[UUID, int], Extras]
    ) -> list[LabelRecord]:
        return [
            self._record(row, one, extras.get((row.id, one.pre_label.ordinal), {}))
            for one in viewed
            if self._holds(one)
        ]

    def _holds(self, one: Viewed) -> bool:
        if one.state == "pending" and self.run.hides_pending:
            return False
        wanted = self.wanted.feature_schema_id
        return one.state in self.states and wanted in {None, one.pre_label.target.feature_schema_id}

    def _record(self, row: RowFacts, one: Viewed, extras: Extras) -> LabelRecord:
        shown = one.pre_label
        feature_id = shown.target.feature_schema_id
        return LabelRecord(
            annotation=shown.annotation,
            feature_schema_id=feature_id,
            id=str(PreLabelId(self.run.id, row.id, shown.ordinal, feature_id)),
            answers=tuple(shown.answers),
            confidence=shown.confidence,
            model_class=shown.model_class,
            provenance={
                "source": "model_run",
                **self._about,
                "alignment_version": self.run.alignment_version,
                "threshold": shown.threshold,
                "ordinal": shown.ordinal,
                "state": one.state,
            },
            extras=extras,
        )


def _made_by(run: ModelRunRow) -> Json:
    if not run.configuration:
        return {"predictions_from": run.source}
    configuration = RunConfiguration.model_validate(run.configuration)
    card = configuration.card
    return {
        "model": {
            "id": str(configuration.catalog_model_id),
            "slug": card.slug,
            "name": card.name,
            "version": card.version,
            "digest": configuration.digest,
        }
    }


def _label(found: Record) -> LabelRecord:
    answers = found["classifications"]
    provenance = orjson.loads(found["provenance"])
    return LabelRecord(
        annotation=ANNOTATION.validate_json(found["annotation"]),
        feature_schema_id=found["feature_schema_id"],
        id=found["external_id"] or str(found["id"]),
        answers=() if answers == "[]" else tuple(Answer.model_validate(one) for one in orjson.loads(answers)),
        provenance={
            "label_id": str(found["id"]),
            "created_by": str(found["created_by"]),
            "created_at": found["created_at"].isoformat(),
            **unwrapped(provenance),
        },
        extras=orjson.loads(found["extras"]) if found["extras"] else {},
    )


def _decision(row: Record, origins: Mapping[UUID, Json]) -> dict[str, Any]:
    """By the names of where it was made, also one that came in: the same decisions are the same wherever they go."""
    found = {name: value for name, value in row.items() if name not in _OURS and value is not None}
    found |= {name: orjson.loads(found[name]) for name in _JSON if name in found}
    for name in found.keys() & {"replaces", "undoes"}:
        found[name] = origins.get(found[name], {}).get("id", found[name])
    if "before" in found:
        found["before"] = _before(found["before"], origins)
    return {**found, **{name: value for name, value in origins.get(row["id"], {}).items() if value is not None}}


def _before(before: Json, origins: Mapping[UUID, Json]) -> Json:
    made_by = before.get("decision_id")
    origin = origins.get(UUID(made_by)) if made_by else None
    return {
        **before,
        "provenance": unwrapped(before.get("provenance") or {}),
        "decision_id": origin["id"] if origin else made_by,
    }
