"""What a model says of a withheld data row is told by no route and no event: the whole OpenAPI document is walked."""

import json
import re
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from services.api.access.principal import Role
from services.api.exchange.formats import FORMATS
from shared.database.tables import EventRow, SegmentRow, WithheldDetectionRow, WithheldRowRow
from tests.integration.api.calls import calls
from tests.integration.api.desk import Desk
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio

CANARY = 0.7654321
"""The confidence of whatever is said of withheld data rows, and of nothing else."""


class Experiment:
    """A project with a run and a preview over all data rows, some of them withheld; `plain` is one that is not, and in
    which nothing was found either."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.withheld: set[UUID] = set()
        self.ids: dict[str, str] = {}

    async def begin(self) -> None:
        stage = self.stage
        path = f"/v1/projects/{stage.project}"
        assert (await stage.client.put(f"{path}/withholding", json={"share": 0.4})).status_code == 200
        run_id = await stage.submit()
        await self._read_withheld()
        self.plain = next(row for row in stage.rows if row not in self.withheld)
        await self._store(run_id)
        body = {**stage.body(), "sample": {"data_row_ids": [str(row) for row in stage.rows]}}
        preview = await stage.client.post(f"{path}/previews", json=body)
        assert preview.status_code == 202, preview.text
        await self._store(UUID(preview.json()["id"]))
        batch = await stage.client.post(f"{path}/batches", json={"name": "all", "all": True})
        self.ids = {
            "project_id": stage.project,
            "model_run_id": str(run_id),
            "preview_id": preview.json()["id"],
            "batch_id": batch.json()["id"],
            "model_id": stage.detector,
            "member_id": str(stage.workspace.members[Role.LABELER]),
        }

    async def _read_withheld(self) -> None:
        async with self.stage.api.resources.sessions() as session:
            mine = WithheldRowRow.project_id == UUID(self.stage.project)
            self.withheld = set(await session.scalars(select(WithheldRowRow.data_row_id).where(mine)))
        assert 3 <= len(self.withheld) < len(self.stage.rows) - 3

    async def _store(self, run_id: UUID) -> None:
        said = {
            row: [("person", CANARY), ("cat", CANARY)] if row in self.withheld else [("cat", 0.6)]
            for row in self.stage.rows
        }
        said[self.plain] = []
        await self.stage.worker.store(run_id, said)
        await self.stage.worker.end(run_id)

    async def answers(self, row: UUID) -> dict[str, Any]:
        """Of everything that can be read, by the name of the call."""
        ids = {**self.ids, "data_row_id": str(row)}
        known = [call for call in calls() if call.method == "get"]
        known += [call for call in calls() if call.name in {"estimate_model_run"}]
        found = {}
        for call in known:
            body: dict[str, Any] = {"json": self.stage.body()} if call.method == "post" else {}
            queries: list[dict[str, str]] = [{}]
            if "format" in call.query:
                of = {"what": "pre_labels", "run": self.ids["model_run_id"], "empty_rows": "true"}
                queries = [{"format": one, **of} for one in FORMATS]
            for place, query in enumerate(queries):
                path = call.url(ids)
                answer = await self.stage.client.request(call.method.upper(), path, params=query, **body)
                assert answer.status_code < 500, f"{call.name}: {answer.text}"
                found[f"{call.name}/{place}"] = (answer.status_code, answer.text)
        return found


@pytest.fixture
async def experiment(api: Api, workspace: Workspace) -> Experiment:
    made = Experiment(await make_stage(api, workspace, rows=20))
    await made.begin()
    return made


async def test_no_route_tells_what_was_found_in_a_withheld_row(experiment: Experiment) -> None:
    row = min(experiment.withheld)
    found = await experiment.answers(row)
    answered = {name.partition("/")[0] for name, (status, _) in found.items() if status < 400}
    assert len(answered) >= 35, sorted(set(found) - answered)
    for name, (_, told) in found.items():
        assert str(CANARY) not in told, name
        assert not re.search(r'"withheld": ?(true|false|\[)', told), name


async def test_a_withheld_row_reads_like_one_in_which_nothing_was_found(experiment: Experiment) -> None:
    row, plain = min(experiment.withheld), experiment.plain
    one, other = await experiment.answers(row), await experiment.answers(plain)
    about = {
        name for call in calls() if "{data_row_id}" in call.path for name in one if name.startswith(call.name + "/")
    }
    assert len(about) >= 4
    keys = {place: f"{number:03}" for number, place in enumerate(experiment.stage.rows)}
    for name in about:
        assert _without(one[name], row, keys[row]) == _without(other[name], plain, keys[plain]), name


def _without(answer: tuple[int, str], row: UUID, key: str) -> tuple[int, str]:
    """Of what is each row's own: its ids, keys and times."""
    status, told = answer
    told = told.replace(str(row), "ROW").replace(f"{key}.jpg", "KEY")
    return status, re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "TIME", told)


async def test_counters_and_events_know_nothing_of_it(experiment: Experiment) -> None:
    stage, run_id = experiment.stage, experiment.ids["model_run_id"]
    shown = len(stage.rows) - len(experiment.withheld) - 1
    run = await stage.get(f"/v1/model-runs/{run_id}")
    assert (run["succeeded"], run["detections"]) == (len(stage.rows), shown)
    ledger = await stage.get(f"/v1/model-runs/{run_id}/ledger")
    assert {one["model_class"]: one["raw"] for one in ledger["classes"]} == {"cat": shown}
    sweep = await stage.get(f"/v1/previews/{experiment.ids['preview_id']}/sweep")
    of = {one["model_class"]: [n for n in one["shown"] if n is not None] for one in sweep["classes"]}
    assert set(of["person"]) == {0}
    assert max(of["cat"]) == shown
    async with stage.api.resources.sessions() as session:
        mine = EventRow.workspace_id == stage.workspace.id
        payloads = list(await session.scalars(select(EventRow.payload).where(mine)))
        counted = select(func.sum(SegmentRow.detections)).where(SegmentRow.model_run_id == UUID(run_id))
        assert await session.scalar(counted) == shown
        apart = select(func.count()).where(WithheldDetectionRow.model_run_id == UUID(run_id))
        assert await session.scalar(apart) == 2 * len(experiment.withheld), "the test would prove nothing without them"
    assert payloads
    for payload in payloads:
        assert str(CANARY) not in payload
        assert not any(str(row) in payload for row in experiment.withheld)
        assert json.loads(payload)["data"].get("detections", 0) in {0, shown}


async def test_it_stays_so_through_review_and_another_alignment(experiment: Experiment) -> None:
    stage, row = experiment.stage, min(experiment.withheld)
    run_id = UUID(experiment.ids["model_run_id"])
    desk = Desk(stage, run_id, [], list(stage.rows).index(row))
    box = {"kind": "bounding_box", "left": 1, "top": 1, "width": 5, "height": 5}
    added = {"action": "add", "feature_schema_id": stage.features["Person"], "annotation": box}
    await desk.decided(added, submit=True, seconds=30)
    version = (await stage.client.get(f"/v1/model-runs/{run_id}/alignment")).headers["etag"]
    changed = await stage.client.patch(
        f"/v1/model-runs/{run_id}/alignment", json={"threshold": 0.06}, headers={"If-Match": version}
    )
    assert changed.status_code == 200, changed.text
    metrics = await stage.get(f"/v1/model-runs/{run_id}/metrics")
    assert metrics["data_rows"]["submitted"] == 0
    assert metrics["features"] == []
    found = await experiment.answers(row)
    assert all(str(CANARY) not in told for _, told in found.values())
