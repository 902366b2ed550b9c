"""Two runs against what people settled on, whoever's pre-labels they decided about."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.integration.api.desk import Desk
from tests.integration.api.stage import make_stage
from tests.integration.api.test_api_withholding_effect import box
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def test_labels_by_hand_and_edits_count_for_both(api: Api, workspace: Workspace) -> None:
    """A fake worker's boxes lie at 0, 1, … from the left, so those of the two runs are the same where both say one."""
    stage = await make_stage(api, workspace, rows=5)
    people, cats = stage.entry("person", "Person"), stage.entry("cat", "Cats")
    one = [("person", 0.9)]
    first = await stage.finished({0: one, 1: one, 2: one, 3: one}, people, cats)
    second = await stage.finished({0: one, 2: one, 4: one}, people)
    pre_labels = await stage.pages(f"/v1/model-runs/{first}/pre-labels")
    desks = [Desk(stage, first, pre_labels, place) for place in range(5)]
    added = {"action": "add", "feature_schema_id": stage.features["Person"]}
    # 0: the first's is accepted, and the second says the same. 1: accepted, missed by the second.
    for desk in desks[:2]:
        await desk.decided({"action": "accept", "pre_label_id": desk.ids[0]}, submit=True)
    # 2: it was somewhere else, so both are wrong. 3: rejected. 4: by hand, where the second had it.
    edit = {"action": "edit", "pre_label_id": desks[2].ids[0], "annotation": box(200)}
    await desks[2].decided(edit, submit=True)
    await desks[3].decided({"action": "reject", "pre_label_id": desks[3].ids[0]}, submit=True)
    await desks[4].decided({**added, "annotation": box(1)}, submit=True)
    path = f"/v1/projects/{stage.project}/model-runs/compare/labels"
    found = await stage.get(path, ids=f"{first},{second}")
    assert (found["data_rows"], found["compared"]) == (5, 5)
    assert [one["feature_name"] for one in found["targets"]] == ["Person"], "only one of them says cats"
    assert [_counts(one) for one in found["runs"]] == [(2, 2, 2), (2, 1, 2)]
    assert [one["precision"]["value"] for one in found["runs"]] == pytest.approx([2 / 4, 2 / 3])
    assert [one["recall"]["value"] for one in found["runs"]] == pytest.approx([2 / 4, 2 / 4])
    assert [one["right_data_rows"]["value"] for one in found["runs"]] == pytest.approx([2 / 5, 3 / 5])
    # The first alone is right on 1; the second on 3, where it says nothing, and on 4.
    assert (found["only_first_right"], found["only_second_right"]) == (1, 2)
    turned = await stage.get(path, ids=f"{second},{first}")
    assert [_counts(one) for one in turned["runs"]] == [(2, 1, 2), (2, 2, 2)]
    await _leave_out(api, desks[0], desks[1])
    left = await stage.get(path, ids=f"{first},{second}")
    assert left["data_rows"] == 3


async def _leave_out(api: Api, reopened: Desk, withheld: Desk) -> None:
    assert (await reopened.send("review/reopen", {})).status_code in {200, 201}
    stage = withheld.stage
    values = {"row": stage.rows[withheld.row], "workspace": stage.workspace.id, "project": stage.project}
    async with api.resources.sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO withheld_rows (data_row_id, workspace_id, project_id) "
                "VALUES (:row, :workspace, CAST(:project AS uuid))"
            ),
            values,
        )


def _counts(one: dict[str, Any]) -> tuple[int, int, int]:
    return one["same"], one["only_run"], one["only_labels"]


async def test_what_is_compared_must_be_two_of_the_project(
    api: Api, workspace: Workspace, elsewhere: Workspace
) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({})
    path = f"/v1/projects/{stage.project}/model-runs/compare/labels"
    assert (await stage.client.get(path, params={"ids": f"{run_id},{run_id}"})).status_code == 422
    assert (await stage.client.get(path)).status_code == 422
    other = await stage.finished({})
    nothing = await stage.get(path, ids=f"{run_id},{other}")
    assert (nothing["data_rows"], nothing["runs"][0]["precision"]["value"]) == (0, None)
    assert (await api.as_(elsewhere).get(path, params={"ids": f"{run_id},{other}"})).status_code == 404
