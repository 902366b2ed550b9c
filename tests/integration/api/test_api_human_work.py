"""Whatever runs, imports, alignments, bulks and people do in whatever order: human work is what people made it.

The decisions of a data row, replayed, give its labels. So nothing but decisions has made them, and those only grow.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from services.api.access.principal import Role
from services.api.worker import OPERATIONS
from shared.database.tables import DataRowReviewRow, DecisionRow, LabelRow, ModelRunRow
from tests.integration.api.desk import BOX
from tests.integration.api.imports import upload
from tests.integration.api.restored import exported, plain
from tests.integration.api.stage import Stage, make_stage
from tests.integration.api.test_api_realign import ledger
from tests.support.api import Api
from tests.support.operations import operating, until_state

pytestmark = pytest.mark.asyncio

_ROWS, _AFTERWARDS = 3, 5
_COLUMNS = tuple(column.key for column in DecisionRow.__table__.columns if column.key != "undone")


@dataclass
class Chance:
    """A project, and everything that may happen to it. What cannot be done at the moment is refused as a whole."""

    stage: Stage
    luck: random.Random
    runs: list[UUID] = field(default_factory=list)
    bulks: list[str] = field(default_factory=list)
    seen: dict[UUID, Any] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)
    made: int = 0

    async def human(self) -> None:
        await self.luck.choice([self.decide, self.decide, self.decide, self.submit_or_reopen, self.reserve])()

    async def machine(self) -> None:
        every = [self.run, self.imported, self.realign, self.undo_run, self.retry, self.bulk, self.bulk, self.undo_bulk]
        await self.luck.choice([*every, self.export, self.restore])()

    async def both(self) -> None:
        await asyncio.gather(self.decide(), self.machine(), self.decide())

    async def decide(self) -> None:
        path = f"/v1/data-rows/{self.luck.choice(self.stage.rows)}"
        review = await self.stage.get(f"{path}/review")
        wanted = await self._some_decision(path.rpartition("/")[2], review)
        if wanted is None:
            return
        client = self.stage.api.as_(self.stage.workspace, self.luck.choice([Role.LABELER, Role.EDITOR]))
        headers = {"If-Match": f'"{review["revision"]}"'}
        answer = await client.post(f"{path}/decisions", json={"decisions": [wanted]}, headers=headers)
        assert answer.status_code in {201, 409, 412, 422}, answer.text
        self.made += answer.status_code == 201

    async def _some_decision(self, data_row_id: str, review: Any) -> dict[str, Any] | None:
        box = {**BOX, "left": self.luck.randrange(50)}
        pre_labels = [
            one["id"]
            for run_id in self.runs
            for one in await self.stage.pages(f"/v1/model-runs/{run_id}/pre-labels", data_row_id=data_row_id)
        ]
        labels, decisions = [one["id"] for one in review["labels"]], [one["id"] for one in review["decisions"]]
        possible: list[dict[str, Any]] = [
            {"action": "add", "feature_schema_id": self.stage.features["Person"], "annotation": box}
        ]
        if pre_labels:
            of = {"pre_label_id": self.luck.choice(pre_labels)}
            possible += [{"action": "accept", **of}, {"action": "reject", **of}]
            possible.append({"action": "edit", **of, "annotation": box})
        if labels:
            of = {"label_id": self.luck.choice(labels)}
            possible += [{"action": "delete", **of}, {"action": "edit", **of, "annotation": box}]
        if decisions:
            possible += [{"action": "undo", "decision_id": self.luck.choice(decisions)}] * 2
        return self.luck.choice(possible)

    async def submit_or_reopen(self) -> None:
        path = f"/v1/data-rows/{self.luck.choice(self.stage.rows)}/review"
        review = await self.stage.get(path)
        verb = "submit" if review["state"] == "open" and self.luck.random() < 0.5 else "reopen"
        headers = {"If-Match": f'"{review["revision"]}"'}
        answer = await self.stage.client.post(f"{path}/{verb}", json={}, headers=headers)
        assert answer.status_code in {200, 409, 412}, answer.text

    async def reserve(self) -> None:
        order = self.luck.choice(["uncertainty", "entropy", "priority", "position"])
        client = self.stage.api.as_(self.stage.workspace, Role.LABELER)
        path = f"/v1/projects/{self.stage.project}/review-queue/reserve"
        answer = await client.post(path, json={"order": order, "count": 1})
        assert answer.status_code == 200, answer.text
        for item in answer.json()["items"]:
            if self.luck.random() < 0.7:
                await client.delete(f"/v1/data-rows/{item['data_row_id']}/reservation")

    async def run(self) -> None:
        await self._finish(await self.stage.submit(), "run")

    async def imported(self) -> None:
        """As an import leaves its run: results like those of any other, with purpose `import`."""
        await self._finish(await self.stage.submit(), "import")

    async def export(self) -> None:
        self.files.append(await exported(self.stage))

    async def restore(self) -> None:
        """What this project said at some time comes in again: all of it is known, changed since, or deleted."""
        if self.files:
            answer = await upload(self.stage, "labels", self.luck.choice(self.files), format="prelabel")
            assert answer.status_code == 202, answer.text
            operation_id = UUID(answer.json()["operation_id"])
            ended = await until_state(
                self.stage.api.resources.sessions, operation_id, "succeeded", "failed", seconds=60
            )
            assert ended.state == "succeeded", ended.problem

    async def moved(self) -> "Chance":
        """Another project, into which all of this one was imported."""
        content = await exported(self.stage)
        there = await make_stage(self.stage.api, await self.stage.api.workspace(), rows=_ROWS)
        chance = Chance(there, self.luck, files=[content])
        await chance.restore()
        assert plain(await exported(there)) == plain(content)
        return chance

    async def _finish(self, run_id: UUID, purpose: str) -> None:
        classes = ("person", "cat")
        said = {
            row: [
                (self.luck.choice(classes), self.luck.choice([0.45, 0.6, 0.9])) for _ in range(self.luck.randrange(3))
            ]
            for row in self.stage.rows
        }
        failed = {self.luck.choice(self.stage.rows): "undecodable_image"} if self.luck.random() < 0.3 else {}
        async with self.stage.api.resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE model_runs SET purpose = :purpose WHERE id = :id"), {"purpose": purpose, "id": run_id}
            )
        await self.stage.worker.store(run_id, {row: of for row, of in said.items() if row not in failed}, failed)
        await self.stage.worker.end(run_id, "completed_with_errors" if failed else "completed")
        self.runs.append(run_id)

    async def realign(self) -> None:
        if not self.runs:
            return
        path = f"/v1/model-runs/{self.luck.choice(self.runs)}/alignment"
        version = (await self.stage.get(path))["version"]
        entries = [self.stage.entry("person", "Person"), self.stage.entry("cat", self.luck.choice(["Person", "Cats"]))]
        body = {"alignment": {"entries": entries}, "threshold": self.luck.choice([0.4, 0.5, 0.8])}
        answer = await self.stage.client.patch(path, json=body, headers={"If-Match": f'"{version}"'})
        assert answer.status_code in {200, 409, 412}, answer.text

    async def undo_run(self) -> None:
        if self.runs and self.luck.random() < 0.4:
            answer = await self.stage.client.delete(f"/v1/model-runs/{self.luck.choice(self.runs)}/pre-labels")
            assert answer.status_code in {200, 409}, answer.text

    async def retry(self) -> None:
        if not self.runs:
            return
        run_id = self.luck.choice(self.runs)
        answer = await self.stage.client.post(f"/v1/model-runs/{run_id}/retry-failed")
        assert answer.status_code in {200, 202, 409}, answer.text
        if answer.status_code == 202:
            self.runs.remove(run_id)
            async with self.stage.api.resources.sessions() as session:
                execution = (await session.get_one(ModelRunRow, run_id)).execution
                left = text("SELECT unnest(data_row_ids) FROM segments WHERE model_run_id = :id AND execution = :now")
                rows = list(await session.scalars(left, {"id": run_id, "now": execution}))
            await self.stage.worker.store(run_id, {row: [("person", 0.7)] for row in rows})
            await self.stage.worker.end(run_id)
            self.runs.append(run_id)

    async def bulk(self) -> None:
        if not self.runs:
            return
        body = {
            "action": self.luck.choice(["accept", "reject"]),
            "model_run_id": str(self.luck.choice(self.runs)),
            "confidence_min": self.luck.choice([0, 0.5]),
        }
        operation = await self._operate("", body)
        self.bulks += [operation] if operation else []

    async def undo_bulk(self) -> None:
        if self.bulks:
            await self._operate(f"/{self.luck.choice(self.bulks)}/undo")

    async def _operate(self, path: str, body: Any = None) -> str | None:
        answer = await self.stage.client.post(f"/v1/projects/{self.stage.project}/decisions/bulk{path}", json=body)
        assert answer.status_code in {202, 409}, answer.text
        if answer.status_code == 409:
            return None
        found = str(answer.json()["id"])
        sessions = self.stage.api.resources.sessions
        ended = await until_state(sessions, UUID(found), "succeeded", "failed", seconds=60)
        assert ended.state == "succeeded" or (ended.problem or {})["code"] == "run_changed", ended.problem
        return found

    async def check(self) -> None:
        async with self.stage.api.resources.sessions() as session:
            of_project = UUID(self.stage.project)
            wanted = select(DecisionRow).where(DecisionRow.project_id == of_project)
            decisions = list(await session.scalars(wanted.order_by(DecisionRow.revision, DecisionRow.id)))
            labels = list(await session.scalars(select(LabelRow).where(LabelRow.project_id == of_project)))
            reviews = await session.scalars(select(DataRowReviewRow).where(DataRowReviewRow.project_id == of_project))
            revisions = {review.data_row_id: review.revision for review in reviews}
        self._check_decisions({one.id: one for one in decisions})
        assert sum(one.operation_id is None and one.origin is None for one in decisions) == self.made
        assert {label.id: _said(label) for label in labels if label.deleted_at is None} == replayed(decisions)
        assert all(one.revision <= revisions[one.data_row_id] for one in decisions)
        for run_id in self.runs:
            await ledger(self.stage, run_id)

    def _check_decisions(self, decisions: dict[UUID, DecisionRow]) -> None:
        now = {key: {name: getattr(one, name) for name in _COLUMNS} for key, one in decisions.items()}
        assert {key: now.get(key) for key in self.seen} == self.seen, "decisions only grow"
        self.seen = now
        for one in decisions.values():
            after = [other for other in decisions.values() if one.id in {other.replaces, other.undoes}]
            assert not one.undone or after, "only a later decision takes one back"
            if one.operation_id is None and one.origin is None:
                assert all(other.operation_id is None for other in after), "no bulk takes back what a person decided"


def _said(label: LabelRow) -> tuple[UUID, Any, Any]:
    return label.feature_schema_id, label.annotation, label.classifications


def replayed(decisions: list[DecisionRow]) -> dict[UUID, tuple[UUID, Any, Any]]:
    """What the labels must be, by the decisions alone."""
    labels: dict[UUID, tuple[UUID, Any, Any]] = {}
    by_id = {one.id: one for one in decisions}
    for one in decisions:
        if one.label_id is None:
            continue
        said = by_id[one.undoes].before if one.undoes else one.made or (one.shown if one.action == "accept" else None)
        if said is None:
            del labels[one.label_id]
        else:
            labels[one.label_id] = (UUID(said["feature_schema_id"]), said["annotation"], said["classifications"])
    return labels


_STEPS: dict[str, Callable[[Chance], Awaitable[None]]] = {
    "human": Chance.human,
    "machine": Chance.machine,
    "both": Chance.both,
}


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(st.sampled_from(sorted(_STEPS)), min_size=8, max_size=16), seed=st.integers(0, 2**32))
async def test_human_work_is_what_people_made_it(api: Api, steps: list[str], seed: int) -> None:
    stage = await make_stage(api, await api.workspace(), rows=_ROWS)
    chance = Chance(stage, random.Random(seed))
    resources = api.resources
    async with operating(resources.sessions, resources.signals, OPERATIONS, resources.store):
        await chance.run()
        for step in steps:
            await _STEPS[step](chance)
            await chance.check()
        moved = await chance.moved()
        await moved.check()
        for _ in range(_AFTERWARDS):
            await moved.human()
            await moved.check()
