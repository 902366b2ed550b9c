"""The next data row of the review queue over 1,000,000 pre-labels, from the request until its pre-labels are there.

Between two, the row is submitted, so that the queue moves on. The pre-labels are loaded by COPY.
"""

import random
import sys
import time
from typing import Any
from uuid import UUID

import orjson

from shared.doubt import doubt
from shared.ids import new_id
from shared.lifecycle import settle_heap
from tests.bench.api_stage import ApiStage, api_stage, p99
from tests.bench.measure import Measurement, machine
from tests.support.finished import CLASSES, MODEL
from tests.support.runs import add_model
from tests.support.servers import connected

_ROWS, _EACH = 100_000, 10
_ORDERS = ("uncertainty", "margin", "entropy", "priority", "position")
_PORTIONS, _STEPS, _OTHER_STEPS = 5, 200, 100
_AT_ONCE = 5_000
_COLUMNS = {
    "data_rows": ("id", "workspace_id", "project_id", "global_key"),
    "row_outcomes": ("model_run_id", "data_row_id", "workspace_id", "execution", "state", "detections"),
    "detections": (
        *("model_run_id", "data_row_id", "ordinal", "workspace_id", "model_class", "confidence", "annotation"),
    ),
    "row_projections": (
        *("model_run_id", "alignment_version", "data_row_id", "workspace_id", "shown"),
        *("uncertainty", "margin", "entropy"),
    ),
}
_BARE = """
    SELECT data_row_id FROM row_projections
    WHERE model_run_id = $1 AND alignment_version = 1 AND NOT submitted
    ORDER BY uncertainty DESC, data_row_id DESC LIMIT 1
"""


async def measure() -> Measurement:
    async with api_stage("review-queue") as stage:
        run_id = await _load(stage)
        values, ratios = [], []
        async with connected(stage.database_url) as driver:
            for table in _COLUMNS:
                await driver.execute(f"VACUUM ANALYZE {table}")
            settle_heap()
            await _steps(stage, "uncertainty", 20)
            for portion in range(_PORTIONS):
                bare = []
                for _ in range(_STEPS):
                    began = time.perf_counter()
                    await driver.fetchval(_BARE, run_id)
                    bare.append(time.perf_counter() - began)
                values.append(p99(await _steps(stage, "uncertainty", _STEPS)) * 1000)
                ratios.append(values[-1] / (p99(bare) * 1000))
                sys.stderr.write(
                    f"  portion {portion + 1}: {values[-1]:.1f} ms p99, {ratios[-1]:.1f} times the bare look\n"
                )
        for order in _ORDERS[1:]:
            taken = await _steps(stage, order, _OTHER_STEPS)
            sys.stderr.write(
                f"  {order}: median {sorted(taken)[len(taken) // 2] * 1000:.1f} ms, p99 {p99(taken) * 1000:.1f} ms\n"
            )
    return Measurement(
        name="review_queue",
        value=round(sorted(values)[_PORTIONS // 2], 2),
        unit="ms, p99",
        goal="the p99 of the next data row at 1,000,000 pre-labels is reported",
        ratio=round(sorted(ratios)[_PORTIONS // 2], 2),
        spread=(round(min(values), 2), round(max(values), 2)),
        pairs=_PORTIONS,
        cpu_us_per_item=None,
        anchor="the p99 of one bare look for the least sure row by asyncpg: nothing reserved, no pre-labels read",
        machine=machine(),
    )


async def _load(stage: ApiStage) -> UUID:
    """A finished run, as workers leave it; its alignment shows every detection."""
    world, entries = stage.world, stage.features.entries(0.05)
    model_id = await add_model(world.sessions, MODEL.card)
    run_id = await world.start_run(MODEL, model_id, [], entries=entries)
    luck = random.Random(20261125)
    async with connected(stage.database_url) as driver:
        for start in range(0, _ROWS, _AT_ONCE):
            said = {new_id(): [luck.uniform(0.05, 1) for _ in range(_EACH)] for _ in range(_AT_ONCE)}
            for table, records in _records(stage, run_id, said, start).items():
                await driver.copy_records_to_table(table, records=records, columns=_COLUMNS[table])
        await driver.execute(
            "UPDATE model_runs SET state = 'completed', total = $2, succeeded = $2, detections = $3 WHERE id = $1",
            *(run_id, _ROWS, _ROWS * _EACH),
        )
    return run_id


def _records(stage: ApiStage, run_id: UUID, said: dict[UUID, list[float]], start: int) -> dict[str, list[Any]]:
    workspace, project = stage.world.workspace_id, stage.world.project_id
    box = orjson.dumps({"kind": "bounding_box", "left": 1, "top": 2, "width": 10, "height": 20}).decode()
    return {
        "data_rows": [(row, workspace, project, f"{start + n}.jpg") for n, row in enumerate(said)],
        "row_outcomes": [(run_id, row, workspace, 1, "succeeded", _EACH) for row in said],
        "detections": [
            (run_id, row, n, workspace, CLASSES[n], confidence, box)
            for row, confidences in said.items()
            for n, confidence in enumerate(confidences)
        ],
        "row_projections": [(run_id, 1, row, workspace, _EACH, *doubt(of)) for row, of in said.items()],
    }


async def _steps(stage: ApiStage, order: str, steps: int) -> list[float]:
    """Seconds of each reservation; then the row is submitted, which is not timed."""
    path = f"/v1/projects/{stage.world.project_id}/review-queue/reserve"
    taken = []
    for _ in range(steps):
        began = time.perf_counter()
        answer = await stage.client.post(path, json={"order": order})
        taken.append(time.perf_counter() - began)
        answer.raise_for_status()
        (item,) = answer.json()["items"]
        if len(item["pre_labels"]) != _EACH:
            raise RuntimeError(f"{len(item['pre_labels'])} pre-labels, not {_EACH}")
        submitted = await stage.client.post(
            f"/v1/data-rows/{item['data_row_id']}/review/submit",
            json={},
            headers={"If-Match": f'"{item["revision"]}"'},
        )
        submitted.raise_for_status()
    return taken
