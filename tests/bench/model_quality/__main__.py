"""`python -m tests.bench.model_quality [SLUG ...] [--speed]`: one JSON object a figure.

To add a measure: write its file with `measure(bench) -> Figure`, name it in `MEASURES`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from functools import partial

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from tests.bench.measure import machine
from tests.bench.model_quality import criteria, entities, faces, labels, objects, offensive, persons, reading, speed
from tests.bench.model_quality.served import Bench, Figure

MEASURES: Mapping[str, Callable[[Bench], Awaitable[Figure]]] = {
    "detect-nanodet": partial(objects.measure, slug="detect-nanodet"),
    "detect-ssdlite": partial(objects.measure, slug="detect-ssdlite"),
    "detect-faces": faces.measure,
    "segment-person": persons.measure,
    "read-text": reading.measure,
    "classify-efficientnet": labels.measure,
    "text-offensive": offensive.measure,
    "entities-spacy": entities.measure,
    "embed-minilm": criteria.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.model_quality")
    parser.add_argument("slugs", nargs="*", metavar="SLUG")
    parser.add_argument("--speed", action="store_true", help="rows a second and CPU a row, in place of quality")
    given = parser.parse_args()
    unknown = set(given.slugs) - set(MEASURES)
    if unknown:
        sys.stderr.write(f"no measure of {', '.join(sorted(unknown))}; there are: {', '.join(MEASURES)}\n")
        return 2
    options = StackOptions(state=ROOT / "var" / "bench", free_ports=True, servers_only=True)
    with StackProcess(options) as stack:
        asyncio.run(_all(stack, given.slugs or list(MEASURES), given.speed))
    return 0


async def _all(stack: StackProcess, slugs: list[str], of_speed: bool) -> None:
    process = stack.status().services["triton"].process
    assert process is not None
    bench = Bench(stack.addresses.triton_url, process.pid)
    for slug in slugs:
        figure = await (speed.measure(bench, slug) if of_speed else MEASURES[slug](bench))
        sys.stdout.write(json.dumps({**asdict(figure), "machine": machine()}, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    await bench.close()


if __name__ == "__main__":
    sys.exit(main())
