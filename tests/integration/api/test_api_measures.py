"""Measures are exactly what a simulated annotator with known error rates has done."""

import random
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.api.access.principal import Role
from tests.integration.api.annotator import Annotator, Tally
from tests.integration.api.desk import Desk, make_desk
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace

pytestmark = pytest.mark.asyncio


async def annotated(stage: Stage, seed: int, **rates: Any) -> tuple[UUID, Annotator]:
    """A finished run over all rows, decided about by the annotator."""
    chance = random.Random(seed)
    said = {
        place: [
            (chance.choice(["person", "cat"]), round(chance.uniform(0.41, 1.0), 3)) for _ in range(chance.randint(0, 4))
        ]
        for place in range(len(stage.rows))
    }
    run_id = await stage.finished(said)
    pre_labels = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    annotator = Annotator(chance, **rates)
    for place in range(len(stage.rows)):
        await annotator.work(Desk(stage, run_id, pre_labels, place))
    return run_id, annotator


def check(found: dict[str, Any], tally: Tally) -> None:
    counts = {name: found[name] for name in ("judged", "accepted", "edited", "rejected", "right")}
    assert counts == {
        "judged": tally.judged,
        "accepted": tally.counts["accept"],
        "edited": tally.edited,
        "rejected": tally.counts["reject"],
        "right": tally.right,
    }
    assert found["precision"]["value"] == pytest.approx(tally.right / tally.judged)
    assert found["acceptance_rate"]["value"] == pytest.approx(tally.counts["accept"] / tally.judged)
    assert found["precision"]["low"] < found["precision"]["value"] < found["precision"]["high"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_simulated_annotator_gives_exactly_the_known_figures(api: Api, workspace: Workspace, seed: int) -> None:
    stage = await make_stage(api, workspace, rows=40)
    run_id, annotator = await annotated(stage, seed)
    found = await stage.get(f"/v1/model-runs/{run_id}/metrics")
    check(found["overall"], annotator.total())
    assert {one["model_class"] for one in found["classes"]} == set(annotator.by_class)
    for of_class in found["classes"]:
        tally = annotator.by_class[of_class["model_class"]]
        check(of_class, tally)
    features = {one["feature_name"]: (one["found"], one["missed"]) for one in found["features"]}
    known = annotator.found.keys() | annotator.missed.keys()
    assert features == {name: (annotator.found[name], annotator.missed[name]) for name in known}
    right, wrong = annotator.found.total(), annotator.missed.total()
    assert found["recall"]["value"] == pytest.approx(right / (right + wrong))
    rows = found["data_rows"]
    assert rows["submitted"] == rows["timed"] == len(annotator.seconds)
    assert rows["median_seconds"] == pytest.approx(median(annotator.seconds))
    assert rows["mean_seconds"] == pytest.approx(sum(annotator.seconds) / len(annotator.seconds))
    of_model = await stage.get(f"/v1/projects/{stage.project}/models/{stage.detector}/metrics")
    assert of_model == found
    await _check_confusion(found["confusion"], annotator)
    await _check_calibration(stage, run_id, annotator)


async def _check_confusion(found: list[dict[str, Any]], annotator: Annotator) -> None:
    told = {
        (one["shown_as"]["feature_name"], (one["settled_as"] or {}).get("feature_name")): one["count"] for one in found
    }
    known: dict[tuple[str, str | None], int] = {}
    for model_class, shown, other in (("person", "Person", "Cats"), ("cat", "Cats", "Person")):
        counts = annotator.by_class[model_class].counts
        known[shown, shown] = counts["accept"] + counts["nudge"] + counts["shove"]
        known[shown, other] = counts["rename"]
        known[shown, None] = counts["reject"]
    assert told == {place: count for place, count in known.items() if count}


async def _check_calibration(stage: Stage, run_id: UUID, annotator: Annotator) -> None:
    found = await stage.get(f"/v1/model-runs/{run_id}/calibration")
    assert found["judged"] == len(annotator.judged)
    gaps = 0.0
    for number, one in enumerate(found["bins"]):
        own = [(sure, right) for sure, right in annotator.judged if min(int(sure * 10 + 1e-9), 9) == number]
        assert (one["judged"], one["right"]) == (len(own), sum(right for _, right in own))
        if own:
            assert one["confidence"] == pytest.approx(sum(sure for sure, _ in own) / len(own))
            gaps += abs(sum(right for _, right in own) - sum(sure for sure, _ in own))
    assert found["expected_error"] == pytest.approx(gaps / len(annotator.judged))
    people = await stage.get(f"/v1/model-runs/{run_id}/calibration", model_class="person", bins=5)
    assert people["judged"] == annotator.by_class["person"].judged
    assert len(people["bins"]) == 5


async def test_edits_are_right_from_the_likeness_that_is_asked_for(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=12)
    rates = {"nudge": 0.5, "shove": 0.5}
    run_id, annotator = await annotated(stage, 4, rates=rates, add=0.0, submit=1.0)
    tally = annotator.total()
    path = f"/v1/model-runs/{run_id}/metrics"
    for same_from, right in ((0.7, 0), (0.5, tally.counts["nudge"]), (0.1, tally.judged)):
        found = await stage.get(path, same_from=same_from)
        assert found["overall"]["right"] == right
        assert found["recall"]["value"] == pytest.approx(right / tally.judged)
        assert found["overall"]["edit_likeness"] == pytest.approx(median(tally.likeness))


async def test_a_run_that_nobody_has_looked_at(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({0: [("person", 0.9)]})
    found = await stage.get(f"/v1/model-runs/{run_id}/metrics")
    assert found["overall"]["judged"] == 0
    assert found["overall"]["precision"] == {"value": None, "low": 0.0, "high": 1.0, "of": 0}
    assert (found["classes"], found["features"], found["confusion"]) == ([], [], [])
    assert found["data_rows"] == {"submitted": 0, "timed": 0, "mean_seconds": None, "median_seconds": None}
    curve = await stage.get(f"/v1/model-runs/{run_id}/calibration")
    assert (curve["judged"], curve["expected_error"]) == (0, None)
    asked = await stage.get(f"/v1/model-runs/{run_id}/threshold-suggestion")
    assert (asked["suggestion"], asked["candidates"], asked["least_judged"]) == (None, [], 59)


async def test_a_later_decision_takes_the_place_of_the_earlier(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    path = f"/v1/model-runs/{desk.run_id}/metrics"
    first, second = desk.ids
    review = await desk.decided(
        {"action": "accept", "pre_label_id": first}, {"action": "accept", "pre_label_id": second}
    )
    assert (await desk.stage.get(path))["overall"]["accepted"] == 2
    # Taking away a label that was a pre-label says that it was wrong.
    label = next(one["label_id"] for one in review["decisions"] if one["pre_label_id"] == second)
    review = await desk.decided({"action": "delete", "label_id": label})
    overall = (await desk.stage.get(path))["overall"]
    assert (overall["judged"], overall["accepted"], overall["rejected"]) == (2, 1, 1)
    await desk.decided({"action": "undo", "decision_id": review["decisions"][-1]["id"]})
    overall = (await desk.stage.get(path))["overall"]
    assert (overall["judged"], overall["accepted"], overall["rejected"]) == (2, 2, 0)


async def test_what_nobody_looked_at_counts_only_when_asked_for(api: Api, workspace: Workspace) -> None:
    desk = await make_desk(api, workspace)
    first, second = desk.ids
    await desk.decided({"action": "accept", "pre_label_id": first}, {"action": "reject", "pre_label_id": second})
    path = f"/v1/model-runs/{desk.run_id}/metrics"
    async with api.resources.sessions.begin() as session:
        mark = "UPDATE decisions SET {} = :by WHERE model_run_id = :run AND action = 'accept'"
        await session.execute(text(mark.format("operation_id")), {"by": uuid4(), "run": desk.run_id})
    assert (await desk.stage.get(path))["overall"]["judged"] == 1
    assert (await desk.stage.get(path, include_bulk=True))["overall"]["judged"] == 2
    async with api.resources.sessions.begin() as session:
        await session.execute(text(mark.format("policy_id")), {"by": uuid4(), "run": desk.run_id})
    assert (await desk.stage.get(path, include_bulk=True))["overall"]["judged"] == 1
    # Who corrects what a policy accepted looks only at what is wrong.
    review = await desk.review()
    label = review["labels"][0]["id"]
    await desk.decided({"action": "delete", "label_id": label})
    assert (await desk.stage.get(path, include_bulk=True))["overall"]["judged"] == 1


async def test_two_runs_side_by_side_and_the_rows_where_they_differ(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=6)
    first = await stage.finished({n: [("person", 0.9)] for n in range(5)})
    second = await stage.finished({0: [("person", 0.8)], 1: [("cat", 0.9)], 2: [("person", 0.7), ("person", 0.6)]})
    path = f"/v1/projects/{stage.project}/model-runs/compare"
    found = await stage.get(path, ids=f"{first},{second}")
    assert (found["data_rows"], [run["model_run_id"] for run in found["runs"]]) == (6, [str(first), str(second)])
    rows = {UUID(one["data_row_id"]): one for one in found["items"]}
    assert set(rows) == set(stage.rows[1:5])
    told = [(one["shown"], one["same"], one["only_first"], one["only_second"]) for one in rows.values()]
    assert told == [([1, 1], 0, 1, 1), ([1, 2], 1, 0, 1), ([1, 0], 0, 1, 0), ([1, 0], 0, 1, 0)]
    paged = await stage.pages(path, ids=f"{first},{second}", page_size=1)
    assert paged == found["items"]


async def test_both_are_measured_on_the_rows_they_share(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace, rows=4)
    first = await stage.finished({n: [("person", 0.9)] for n in range(4)})
    wanted = {"name": "half", "data_row_ids": [str(row) for row in stage.rows[:2]]}
    batch = (await stage.client.post(f"/v1/projects/{stage.project}/batches", json=wanted)).json()["id"]
    second = await stage.finished({n: [("person", 0.8)] for n in range(4)}, batch_ids=[batch])
    pre_labels = await stage.pages(f"/v1/model-runs/{first}/pre-labels")
    for place, action in enumerate(["accept", "reject", "accept", "accept"]):
        desk = Desk(stage, first, pre_labels, place)
        await desk.decided({"action": action, "pre_label_id": desk.ids[0]}, submit=True)
    path = f"/v1/projects/{stage.project}/model-runs/compare"
    found = await stage.get(path, ids=f"{first},{second}")
    one, other = (run["metrics"] for run in found["runs"])
    assert (found["data_rows"], one["overall"]["judged"], one["overall"]["right"]) == (2, 2, 1)
    assert (one["data_rows"]["submitted"], other["overall"]["judged"]) == (2, 0)
    assert (await stage.get(f"/v1/model-runs/{first}/metrics"))["overall"]["judged"] == 4
    by_model = await stage.client.get(path, params={"model_ids": f"{stage.detector},{stage.classifier}"})
    assert by_model.status_code == 404


@pytest.mark.parametrize("query", [{}, {"ids": "a,b"}, {"ids": f"{uuid4()}"}, {"ids": "x", "model_ids": "y"}])
async def test_pairs_that_are_none(api: Api, workspace: Workspace, query: dict[str, str]) -> None:
    stage = await make_stage(api, workspace, rows=0)
    path = f"/v1/projects/{stage.project}/model-runs/compare"
    assert (await stage.client.get(path, params=query)).status_code == 422
    strange = await stage.client.get(path, params={"ids": f"{uuid4()},{uuid4()}"})
    assert strange.status_code == 404


async def test_others_find_nothing(api: Api, workspace: Workspace, elsewhere: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished({})
    for path in (f"/v1/model-runs/{run_id}", f"/v1/projects/{stage.project}/models/{stage.detector}"):
        for what in ("metrics", "calibration", "threshold-suggestion"):
            assert (await api.as_(elsewhere).get(f"{path}/{what}")).status_code == 404
            assert (await api.as_(workspace, Role.VIEWER).get(f"{path}/{what}")).status_code == 200
