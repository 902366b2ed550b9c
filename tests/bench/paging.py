"""The last page of a project's 1,000,000 data rows against its first, by the api. The rows are loaded by COPY."""

import sys
import time
from uuid import UUID

import orjson

from shared.ids import new_id
from shared.lifecycle import settle_heap
from shared.page_tokens import scope_of
from tests.bench.api_stage import ApiStage, api_stage, p99
from tests.bench.measure import Measurement, machine
from tests.support.servers import connected

_ROWS, _PAGE, _PORTIONS, _EACH = 1_000_000, 100, 5, 200
_AT_ONCE = 100_000


async def measure() -> Measurement:
    async with api_stage("paging") as stage:
        ids = await _load(stage)
        path = f"/v1/projects/{stage.world.project_id}/data-rows"
        last = {"page_size": str(_PAGE), "page_token": _token(stage, path, ids[-_PAGE - 1])}
        pages = {"first": {"page_size": str(_PAGE)}, "last": last}
        await _check(stage, path, pages, ids)
        settle_heap()
        ratios, slowest = [], []
        for portion in range(_PORTIONS):
            taken: dict[str, list[float]] = {name: [] for name in pages}
            for _ in range(_EACH):
                for name, wanted in pages.items():
                    began = time.perf_counter()
                    answer = await stage.client.get(path, params=wanted)
                    taken[name].append(time.perf_counter() - began)
                    answer.raise_for_status()
            ratios.append(p99(taken["last"]) / p99(taken["first"]))
            slowest.append(p99(taken["last"]) * 1000)
            sys.stderr.write(f"  portion {portion + 1}: last {slowest[-1]:.1f} ms p99, ratio {ratios[-1]:.2f}\n")
    return Measurement(
        name="paging",
        value=round(sorted(slowest)[_PORTIONS // 2], 2),
        unit="ms, p99 of the last page",
        goal="last page against first page, p99: at most 1.5",
        ratio=round(sorted(ratios)[_PORTIONS // 2], 3),
        spread=(round(min(ratios), 3), round(max(ratios), 3)),
        pairs=_PORTIONS,
        cpu_us_per_item=None,
        anchor=f"the first page of the same {_ROWS:,} data rows, in turns, {_PAGE} a page",
        machine=machine(),
    )


async def _load(stage: ApiStage) -> list[UUID]:
    world = stage.world
    ids = [new_id() for _ in range(_ROWS)]
    async with connected(stage.database_url) as driver:
        for start in range(0, _ROWS, _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            await driver.copy_records_to_table(
                "data_rows",
                records=[(one, world.workspace_id, world.project_id, f"{n}.jpg") for n, one in enumerate(some, start)],
                columns=["id", "workspace_id", "project_id", "global_key"],
            )
            await driver.copy_records_to_table(
                "data_row_contents",
                records=[(one, world.workspace_id, f"https://images.example.org/{one}.jpg") for one in some],
                columns=["data_row_id", "workspace_id", "uri"],
            )
        await driver.execute("VACUUM ANALYZE data_rows")
        await driver.execute("VACUUM ANALYZE data_row_contents")
    return ids


def _token(stage: ApiStage, path: str, after: UUID) -> str:
    """As the page before would have given it."""
    scope = scope_of(stage.workspace.id, path, [("page_size", str(_PAGE))])
    return stage.api.resources.pager.sign(scope, (str(after),))


async def _check(stage: ApiStage, path: str, pages: dict[str, dict[str, str]], ids: list[UUID]) -> None:
    """Raises RuntimeError unless they are what they are called."""
    for name, wanted in (("first", ids[:_PAGE]), ("last", ids[-_PAGE:])):
        answer = await stage.client.get(path, params=pages[name])
        page = orjson.loads(answer.content)
        if [UUID(item["id"]) for item in page["items"]] != wanted or (name == "last" and page["next_page_token"]):
            raise RuntimeError(f"this is not the {name} page: {answer.status_code}")
