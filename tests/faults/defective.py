"""`python -m tests.faults.defective MODULE [--defect NAME] [--crash POINT:COUNT] [ARGUMENTS]`: a service with a fault.

Patches what the defect says, arms the crash point, and runs the service's own main. Product code has no hook for it.
"""

import argparse
import runpy
import sys
from collections.abc import Sequence

from tests.faults.crash_points import arm
from tests.faults.defects import DEFECTS
from tests.faults.harness.identity import name_connections


def run(module: str, arguments: Sequence[str] = (), defect: str | None = None, crash: str | None = None) -> None:
    """Ends with the service. `crash` is a point and at which passing of it: `after_commit:3`."""
    name_connections()
    if defect:
        DEFECTS[defect].apply()
    if crash:
        arm(crash)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.defective", description=__doc__)
    parser.add_argument("module", help="such as services.inference")
    parser.add_argument("--defect", choices=sorted(DEFECTS))
    parser.add_argument("--crash")
    known, rest = parser.parse_known_args()
    run(known.module, rest, known.defect, known.crash)


if __name__ == "__main__":
    main()
