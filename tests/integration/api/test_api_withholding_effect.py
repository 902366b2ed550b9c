"""What pre-labels change, out of what a simulated annotator with known rates did with them and without."""

import random
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from services.api.access.principal import Role
from services.api.measures.bounds import wilson
from services.api.measures.effect import LEAST
from shared.database.tables import WithheldRowRow
from tests.integration.api.annotator import HEIGHT, LEFT, TOP, WIDTH
from tests.integration.api.desk import Desk
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio

SAID = ("person", 0.9)
ROWS = 60
"""Drawn by halves, one of both has fewer than 14 in about one of 80,000 draws."""


def box(left: float) -> dict[str, Any]:
    return {"kind": "bounding_box", "left": left, "top": TOP, "width": WIDTH, "height": HEIGHT}


@dataclass
class Known:
    """What the annotator did in one group: a row agrees, or it has another object in place of the model's."""

    agrees: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Same, only the model's, only the labels'."""
        same, other = sum(self.agrees), len(self.agrees) - sum(self.agrees)
        return same, other, other


async def withheld_rows(stage: Stage) -> set[UUID]:
    async with stage.api.resources.sessions() as session:
        mine = WithheldRowRow.project_id == UUID(stage.project)
        return set(await session.scalars(select(WithheldRowRow.data_row_id).where(mine)))


async def begun(api: Api, workspace: Workspace) -> tuple[Stage, UUID, set[UUID]]:
    """A finished run in which the model says one person of each row, half of the rows withheld."""
    stage = await make_stage(api, workspace, rows=ROWS)
    answer = await stage.client.put(f"/v1/projects/{stage.project}/withholding", json={"share": 0.5})
    assert answer.status_code == 200
    run_id = await stage.finished({place: [SAID] for place in range(ROWS)}, stage.entry("person", "Person"))
    return stage, run_id, await withheld_rows(stage)


async def annotate(desk: Desk, *, alone: bool, agrees: bool, seconds: float) -> None:
    """`alone`: without a pre-label. An edit by two pixels still agrees, a rejected one is drawn elsewhere."""
    person = {"feature_schema_id": desk.stage.features["Person"]}
    drawn = {"action": "add", **person, "annotation": box(LEFT + 1 if agrees else 300)}
    if alone:
        wanted = [drawn]
    elif agrees:
        wanted = [{"action": "edit", "pre_label_id": desk.ids[0], "annotation": box(LEFT + 2)}]
    else:
        wanted = [{"action": "reject", "pre_label_id": desk.ids[0]}, drawn]
    await desk.decided(*wanted, seconds=seconds, submit=True)


async def effect(stage: Stage, run_id: UUID) -> Any:
    return await stage.get(f"/v1/model-runs/{run_id}/withholding-effect")


async def test_the_figures_are_those_of_what_was_done(api: Api, workspace: Workspace) -> None:
    stage, run_id, withheld = await begun(api, workspace)
    pre_labels = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    chance, known = random.Random(5), {True: Known(), False: Known()}
    for place, row in enumerate(stage.rows):
        alone = row in withheld
        agrees = chance.random() < (0.5 if alone else 0.9)
        seconds = float(chance.randint(20, 60) if alone else chance.randint(5, 30))
        await annotate(Desk(stage, run_id, pre_labels, place), alone=alone, agrees=agrees, seconds=seconds)
        known[alone].agrees.append(agrees)
        known[alone].seconds.append(seconds)
    found = await effect(stage, run_id)
    for name, one in (("without_pre_labels", known[True]), ("with_pre_labels", known[False])):
        group = found[name]
        assert group["data_rows"] == group["compared"] == group["timed"] == len(one.agrees)
        assert (group["same"], group["only_model"], group["only_labels"]) == one.counts
        assert group["mean_seconds"] == pytest.approx(fmean(one.seconds))
        assert group["median_seconds"] == median(one.seconds)
        right, whole = sum(one.agrees), len(one.agrees)
        assert group["right_data_rows"]["value"] == pytest.approx(right / whole)
        assert (group["right_data_rows"]["low"], group["right_data_rows"]["high"]) == pytest.approx(
            wilson(right, whole)
        )
        assert group["agreement"]["value"] == pytest.approx(right / (2 * whole - right))
    bias, speed_up = found["data_row_bias"], found["speed_up"]
    assert bias["value"] == pytest.approx(fmean(known[False].agrees) - fmean(known[True].agrees))
    assert bias["low"] < bias["value"] < bias["high"]
    assert speed_up["value"] == pytest.approx(fmean(known[True].seconds) / fmean(known[False].seconds))
    assert 1 < speed_up["low"] < speed_up["value"] < speed_up["high"], "40 s against 17.5 s"


async def test_nothing_is_told_before_enough_is_submitted(api: Api, workspace: Workspace) -> None:
    stage, run_id, withheld = await begun(api, workspace)
    nothing = await effect(stage, run_id)
    named = {name for name, value in nothing.items() if value is not None}
    assert named == {"model_run_id", "least"}
    pre_labels = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    groups = {alone: [n for n, row in enumerate(stage.rows) if (row in withheld) is alone] for alone in (True, False)}
    assert min(map(len, groups.values())) >= LEAST
    for alone, places in groups.items():
        for place in places[:LEAST]:
            assert await effect(stage, run_id) == nothing
            await annotate(Desk(stage, run_id, pre_labels, place), alone=alone, agrees=True, seconds=10)
    found = await effect(stage, run_id)
    assert found["without_pre_labels"]["data_rows"] == found["with_pre_labels"]["data_rows"] == LEAST
    assert found["bias"]["value"] == 0.0
    assert found["bias"]["low"] < 0 < found["bias"]["high"]
    # Reopened, a row is not decided any more, and its group is too small again.
    desk = Desk(stage, run_id, pre_labels, groups[True][0])
    assert (await desk.send("review/reopen", {})).status_code in {200, 201}
    assert await effect(stage, run_id) == nothing


async def test_rows_that_the_draw_was_not_about_do_not_count(api: Api, workspace: Workspace) -> None:
    stage, run_id, withheld = await begun(api, workspace)
    pre_labels = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    places = {row: place for place, row in enumerate(stage.rows)}
    plain = [row for row in stage.rows if row not in withheld][: LEAST + 5]
    for row in [*list(withheld)[:LEAST], *plain]:
        await annotate(Desk(stage, run_id, pre_labels, places[row]), alone=row in withheld, agrees=True, seconds=10)
    every = (await effect(stage, run_id))["with_pre_labels"]["data_rows"]
    assert every == len(plain)
    changes = {
        "a policy decided": "UPDATE decisions SET policy_id = gen_random_uuid() WHERE data_row_id = :row",
        "a bulk decided": "UPDATE decisions SET operation_id = gen_random_uuid() WHERE data_row_id = :row",
        "it was worked on": "UPDATE decisions SET decided_at = now() - interval '1 day' WHERE data_row_id = :row",
        "it came in by an import": "UPDATE data_row_reviews SET origin = '{}' WHERE data_row_id = :row",
        "it had a label": "UPDATE labels SET created_at = now() - interval '1 day' WHERE data_row_id = :row",
    }
    for left, (row, (what, change)) in enumerate(zip(plain, changes.items(), strict=False), 1):
        async with api.resources.sessions.begin() as session:
            await session.execute(text(change), {"row": row})
        assert (await effect(stage, run_id))["with_pre_labels"]["data_rows"] == every - left, what
    async with api.resources.sessions.begin() as session:  # rows that were shown before anything was withheld
        later = (
            "UPDATE withholdings SET created_at = now() + interval '1 day' WHERE project_id = CAST(:project AS uuid)"
        )
        await session.execute(text(later), {"project": stage.project})
    assert (await effect(stage, run_id))["with_pre_labels"] is None


async def test_it_is_for_editors_and_of_the_own_workspace(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({})
    path = f"/v1/model-runs/{run_id}/withholding-effect"
    assert (await api.as_(elsewhere).get(path)).status_code == 404
    assert (await api.as_(workspace, Role.LABELER).get(path)).status_code == 403
    assert (await stage.get(path))["speed_up"] is None, "of a project that withholds nothing"
