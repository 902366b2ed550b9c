"""`python -m tests.bench [NAME]`: every bench, or one. Each prints a JSON object as its last line.

The line is kept in `var/bench/NAME.jsonl` too, for the table in docs/performance.md (`make performance`), unless the
bench was made smaller and says so by another name.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from tests.bench import (
    detector_throughput,
    disk,
    exchange,
    instant_model,
    long_run,
    million,
    paging,
    preview_under_load,
    previews,
    reprojection,
    review_queue,
    run_throughput,
    scaling,
    submit_latency,
    transport,
)
from tests.bench.api import mix, overload
from tests.bench.measure import Measurement
from tests.bench.notifier import connections, fan_out, latency, resume_storm
from tests.bench.table import keep

BENCHES: dict[str, Callable[[], Awaitable[Measurement]]] = {
    "run_throughput": run_throughput.measure,
    "detector_throughput": detector_throughput.measure,
    "instant_model": instant_model.measure,
    "run_overhead": instant_model.measure_overhead,
    "preview_under_load": preview_under_load.measure,
    "submit_latency": submit_latency.measure,
    "scaling": scaling.measure,
    "long_run": long_run.measure,
    "transport": transport.measure,
    "fan_out": fan_out.measure,
    "event_latency": latency.measure,
    "slow_client": latency.measure_slow_client,
    "connections": connections.measure,
    "resume_storm": resume_storm.measure,
    "api_mix": mix.measure,
    "overload": overload.measure,
    "disk": disk.measure,
    "preview_1000": previews.measure,
    "review_queue": review_queue.measure,
    "paging": paging.measure,
    "reprojection_1000": partial(reprojection.measure, 1_000),
    "reprojection_10000": partial(reprojection.measure, 10_000),
    "import_data_rows": exchange.measure_data_rows,
    "import_predictions": exchange.measure_predictions,
    "export": exchange.measure_export,
    "import_million": million.measure,
}


def main(names: list[str]) -> int:
    unknown = set(names) - set(BENCHES)
    if unknown:
        sys.stderr.write(f"no bench {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}\n")
        return 2
    for name in names or BENCHES:
        sys.stderr.write(f"{name}\n")
        asyncio.run(_one(name))
    return 0


async def _one(name: str) -> None:
    measurement = await BENCHES[name]()
    if measurement.name in BENCHES:
        keep(measurement)
    measurement.print()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
