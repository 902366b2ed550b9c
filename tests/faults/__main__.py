"""`python -m tests.faults --rounds 20 --seed 1`: the fault matrix, round after round.

The seed of round n is the first plus n - 1; `--cells NAME --seed SEED` plays one cell of one round again.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence

from tests.faults.cells import CELLS
from tests.faults.matrix import Report, play, turns


def main() -> int:
    asked = _arguments()
    names = asked.cells.split(",") if asked.cells else list(CELLS)
    if unknown := set(names) - set(CELLS):
        sys.stderr.write(f"no cell {', '.join(sorted(unknown))}; there are: {', '.join(CELLS)}\n")
        return 2
    _say(f"{asked.rounds} rounds of {len(names)} cells, seed {asked.seed}, {asked.jobs} worlds side by side")
    began = time.monotonic()
    reports = asyncio.run(play(turns(names, asked.rounds, asked.seed), asked.jobs, _tell))
    return _conclude(reports, time.monotonic() - began)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--cells", help="names with commas between them; all when left out")
    parser.add_argument("--jobs", type=int, default=3, help="worlds side by side; most cells only wait")
    return parser.parse_args()


def _tell(report: Report) -> None:
    turn = report.turn
    verdict = f"{len(report.violations)} VIOLATIONS" if report.violations else "ok"
    took = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in report.took.items())
    _say(f"{turn.round:3} {turn.cell:<36} seed {turn.seed:<7} {report.seconds:6.1f} s  {verdict}  {took}")
    for violation in report.violations:
        _say(f"      {violation}")
    if report.kept:
        _say(f"      kept in {report.kept}")


def _conclude(reports: Sequence[Report], seconds: float) -> int:
    violations = sum(len(report.violations) for report in reports)
    _say(
        f"{len({report.turn.round for report in reports})} rounds, {len(reports)} cells, "
        f"{sum(report.faults for report in reports)} faults, {sum(report.rows for report in reports)} rows, "
        f"{sum(report.events for report in reports)} events seen, {violations} violations, {seconds:.0f} s"
    )
    for what in sorted({what for report in reports for what in report.took}):
        found = sorted(report.took[what] for report in reports if what in report.took)
        _say(f"   work went on after {what}: median {found[len(found) // 2]:.1f} s, longest {found[-1]:.1f} s")
    return 1 if violations else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
