"""`python -m tests.bench [NAME]`: every bench, or one. Each prints a JSON object as its last line."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from tests.bench import previews, reprojection, run_throughput
from tests.bench.measure import Measurement

BENCHES: dict[str, Callable[[], Awaitable[Measurement]]] = {
    "run_throughput": run_throughput.measure,
    "preview_1000": previews.measure,
    "reprojection_1000": partial(reprojection.measure, 1_000),
    "reprojection_10000": partial(reprojection.measure, 10_000),
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
    (await BENCHES[name]()).print()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
