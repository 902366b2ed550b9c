"""`python -m tests.bench.table`: the table in docs/performance.md, out of the lines that `make bench` wrote.

Every line in `var/bench` counts: the table has the median of the runs of each bench, and how far they lie apart.
A bench that has no lines there keeps the row it has, with its date.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.local.stack import ROOT
from tests.bench.measure import Measurement

LINES = ROOT / "var" / "bench"
_PAGE = ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- table: make performance -->", "<!-- end of table -->"
_HEAD = "| bench | goal | value | ratio | CPU an item | runs | anchor | date |\n|---|---|---|---|---|---|---|---|"

Line = dict[str, Any]


def keep(measurement: Measurement) -> None:
    """One more line, with the date."""
    LINES.mkdir(parents=True, exist_ok=True)
    line = {**asdict(measurement), "date": datetime.now(UTC).date().isoformat()}
    with (LINES / f"{measurement.name}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> int:
    benches = [_lines(path) for path in sorted(LINES.glob("*.jsonl"))]
    if not benches:
        sys.stderr.write(f"there are no lines in {LINES}; run `make bench` first\n")
        return 1
    machines = sorted({line["machine"] for lines in benches for line in lines})
    before, _, rest = _PAGE.read_text().partition(_BEGIN)
    present, _, after = rest.partition(_END)
    rows = _by_name(present.partition(_HEAD)[2]) | _by_name("\n".join(map(_row, benches)))
    table = f"Measured on: {'; '.join(machines)}.\n\n{_HEAD}\n" + "\n".join(rows[name] for name in sorted(rows))
    _PAGE.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}")
    return 0


def _lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _by_name(rows: str) -> dict[str, str]:
    return {row.split("|")[1].strip(): row for row in rows.strip().splitlines()}


def _row(lines: Sequence[Line]) -> str:
    last = lines[-1]
    value = f"{_median(lines, 'value')} {last['unit']}" if last["value"] is not None else last["unit"]
    cpu = "-" if last["cpu_us_per_item"] is None else f"{_median(lines, 'cpu_us_per_item')} µs"
    cells = [last["name"], last["goal"], value, _median(lines, "ratio"), cpu, len(lines), last["anchor"], last["date"]]
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def _median(lines: Sequence[Line], name: str) -> str:
    """With the lowest and the highest of several runs."""
    found = [line[name] for line in lines if line[name] is not None]
    if not found:
        return "-"
    middle = f"{statistics.median(found):.4g}"
    return middle if len(found) == 1 else f"{middle} ({min(found):.4g} to {max(found):.4g})"


if __name__ == "__main__":
    sys.exit(main())
