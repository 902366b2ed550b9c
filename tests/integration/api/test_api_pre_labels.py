import random
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from services.api.model_runs import pre_labels
from shared.pre_label_id import PreLabelId, parse_pre_label_id
from tests.integration.api.stage import Stage, make_stage
from tests.support.api import Api, Workspace
from tests.support.runs import Said

pytestmark = pytest.mark.asyncio

SAID: dict[int, list[Said]] = {
    0: [("person", 0.9), ("cat", 0.8), ("dog", 0.7), ("person", 0.1)],
    1: [("dog", 0.99)],
    3: [("cat", 0.41), ("cat", 0.39), ("person", 0.4)],
}


async def _decide(stage: Stage, row: int, **actions: str) -> None:
    """By pre-label id."""
    path = f"/v1/data-rows/{stage.rows[row]}"
    etag = (await stage.client.get(f"{path}/review")).headers["etag"]
    body = {"decisions": [{"pre_label_id": one, "action": action} for one, action in actions.items()]}
    answer = await stage.client.post(f"{path}/decisions", json=body, headers={"If-Match": etag})
    assert answer.status_code == 201, answer.text


async def test_pre_labels_are_detections_through_the_alignment(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID, stage.entry("person", "Person"), stage.entry("cat", "Cats", threshold=0.4))
    found = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels", page_size=2)
    assert [(p["global_key"], p["feature_name"], p["model_class"], p["confidence"], p["tool"]) for p in found] == [
        ("000.jpg", "Person", "person", 0.9, "bounding_box"),
        ("000.jpg", "Cats", "cat", 0.8, "polygon"),
        ("003.jpg", "Cats", "cat", 0.41, "polygon"),
        ("003.jpg", "Person", "person", 0.4, "bounding_box"),
    ]
    assert {p["state"] for p in found} == {"pending"}
    assert found[0]["annotation"] == {
        "kind": "bounding_box", "left": 0.0, "top": 2.0, "width": 10.0, "height": 20.0, "rotation": None}  # fmt: skip
    assert found[1]["annotation"]["kind"] == "polygon"
    feature = UUID(stage.features["Cats"])
    assert parse_pre_label_id(found[2]["id"]) == PreLabelId(run_id, stage.rows[3], 0, feature)


async def test_filters(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(SAID)

    async def classes(**query: Any) -> list[tuple[str, float]]:
        found = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels", page_size=1, **query)
        return [(p["model_class"], p["confidence"]) for p in found]

    assert await classes(data_row_id=stage.rows[3]) == [("cat", 0.41), ("person", 0.4)]
    assert await classes(data_row_id=stage.rows[1]) == []
    assert await classes(feature_schema_id=stage.features["Cats"]) == [("cat", 0.8), ("cat", 0.41)]
    assert await classes(model_class="person") == [("person", 0.9), ("person", 0.4)]
    assert await classes(confidence_min=0.41, confidence_max=0.8) == [("cat", 0.8), ("cat", 0.41)]
    person, cat = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels", data_row_id=stage.rows[0])
    await _decide(stage, 0, **{person["id"]: "accept", cat["id"]: "reject"})
    assert await classes(state="accepted") == [("person", 0.9)]
    assert await classes(state="rejected") == [("cat", 0.8)]
    assert await classes(state="pending") == [("cat", 0.41), ("person", 0.4)]
    assert (await stage.client.get(f"/v1/model-runs/{run_id}/pre-labels?confidence_min=2")).status_code == 422


async def test_answers_of_a_classifier_and_one_class_for_two_features(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(
        {2: [("indoors", 0.5), ("outdoor", 0.45), ("cat", 0.9)]},
        stage.entry("indoors", "scene", "Indoors"),
        stage.entry("outdoor", "scene", "Outdoors"),
        stage.entry("cat", "scene", "Indoors", threshold=0.95),
        stage.entry("cat", "seen", "cat"),
        model_id=stage.classifier,
    )
    found = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels", page_size=1)
    assert [(p["feature_name"], p["option_name"], p["annotation"]["kind"]) for p in found] == [
        ("scene", "Indoors", "radio"),
        ("seen", "cat", "checklist"),
    ]
    ledger = await stage.get(f"/v1/model-runs/{run_id}/ledger")
    assert {c["model_class"]: (c["shown"], c["dropped"]) for c in ledger["classes"]} == {
        "cat": (1, {}),
        "indoors": (1, {}),
        "outdoor": (0, {"radio_conflict": 1}),
    }


async def test_pages_are_bounded_and_together_whole(
    api: Api, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the bounds, every pre-label comes once and in order."""
    stage = await make_stage(api, workspace, rows=40)
    rng = random.Random(7)
    said: dict[int, list[Said]] = {
        place: [(rng.choice(("person", "cat", "dog")), rng.random()) for _ in range(rng.choice((0, 0, 3, 9)))]
        for place in range(40)
    }
    run_id = await stage.finished(said, stage.entry("person", "Person"), stage.entry("person", "Cats"),
                                  stage.entry("cat", "Cats"))  # fmt: skip
    path = f"/v1/model-runs/{run_id}/pre-labels"
    whole = await stage.pages(path, page_size=500)
    shown = sum(
        c >= 0.4 for row in said.values() for name, c in row for _ in range({"person": 2, "cat": 1}.get(name, 0))
    )
    assert len(whole) == shown > 50
    places = [(p["data_row_id"], p["ordinal"], p["feature_schema_id"]) for p in whole]
    assert places == sorted(set(places))
    monkeypatch.setattr(pre_labels, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(pre_labels, "_DETECTIONS_AT_ONCE", 5)
    monkeypatch.setattr(pre_labels, "_DETECTIONS_A_PAGE", 11)
    for size in (1, 3, 500):
        assert await stage.pages(path, page_size=size) == whole
    rare = await stage.pages(path, page_size=2, model_class="cat", confidence_min=0.9)
    assert rare == [p for p in whole if p["model_class"] == "cat" and p["confidence"] >= 0.9]


async def test_ledger_accounts_for_every_detection(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.finished(
        SAID,
        stage.entry("person", "Person", max_count=1),
        stage.entry("person", "Cats", min_area=1000),
        stage.entry("cat", "Cats"),
    )
    found = await stage.pages(f"/v1/model-runs/{run_id}/pre-labels")
    await _decide(stage, 0, **{found[0]["id"]: "accept"})
    await _decide(stage, 3, **{found[2]["id"]: "reject"})
    ledger = await stage.get(f"/v1/model-runs/{run_id}/ledger")
    by_class = {c.pop("model_class"): c for c in ledger["classes"]}
    assert by_class == {
        "cat": {
            "raw": 3,
            "shown": 2,
            "dropped": {"below_threshold": 1},
            "pending": 1,
            "accepted": 0,
            "edited": 0,
            "rejected": 1,
        },
        "dog": {
            "raw": 2,
            "shown": 0,
            "dropped": {"unmapped": 2},
            "pending": 0,
            "accepted": 0,
            "edited": 0,
            "rejected": 0,
        },
        "person": {
            "raw": 3,
            "shown": 2,
            "dropped": {"below_threshold": 1},
            "pending": 1,
            "accepted": 1,
            "edited": 0,
            "rejected": 0,
        },
    }
    raw = Counter(name for row in SAID.values() for name, _ in row)
    for name, one in by_class.items():
        assert one["raw"] == raw[name] == one["shown"] + sum(one["dropped"].values())
        assert one["shown"] == one["pending"] + one["accepted"] + one["edited"] + one["rejected"]


async def test_discarded_results_hide_what_nobody_has_decided(api: Api, workspace: Workspace) -> None:
    stage = await make_stage(api, workspace)
    run_id = await stage.submit()
    await stage.worker.store(run_id, {stage.rows[0]: SAID[0], stage.rows[3]: SAID[3]})
    path = f"/v1/model-runs/{run_id}/pre-labels"
    before = await stage.pages(path)
    assert len(before) == 4
    await _decide(stage, 0, **{before[0]["id"]: "accept"})
    run = (await stage.client.post(f"/v1/model-runs/{run_id}/cancel", json={"results": "discard"})).json()
    assert (run["results_discarded"], run["succeeded"]) == (True, 2)
    assert [p["id"] for p in await stage.pages(path)] == [before[0]["id"]]
    assert await stage.pages(path, state="pending") == []
    ledger = {c["model_class"]: c for c in (await stage.get(f"/v1/model-runs/{run_id}/ledger"))["classes"]}
    assert ledger["person"]["dropped"] == {"below_threshold": 1, "discarded": 1}
    assert (ledger["person"]["raw"], ledger["person"]["shown"], ledger["person"]["accepted"]) == (3, 1, 1)
    assert len(await stage.pages(f"/v1/model-runs/{run_id}/outcomes", state="succeeded")) == 2
    late = await stage.client.post(
        f"/v1/data-rows/{stage.rows[3]}/decisions",
        json={"decisions": [{"pre_label_id": before[2]["id"], "action": "accept"}]},
        headers={"If-Match": '"0"'},
    )
    assert (late.status_code, late.json()["errors"][0]["code"]) == (422, "pre_label_not_shown")
