"""`python -m deploy.observability.dashboards` writes the dashboards for Grafana, out of their descriptions."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.observability.overview import OVERVIEW
from deploy.observability.panels import Dashboard, as_json
from deploy.observability.run import RUN
from deploy.observability.triton import TRITON

FOLDER = Path(__file__).parent / "dashboards"

DASHBOARDS: Mapping[str, Dashboard] = {"overview": OVERVIEW, "run": RUN, "triton": TRITON}
"""By the name of their file. To add one: describe it, name it here, and run this module."""


def rendered(name: str) -> str:
    return json.dumps(as_json(DASHBOARDS[name]), indent=2) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(rendered(name))
    sys.stdout.write(f"{', '.join(DASHBOARDS)} are up to date\n")


if __name__ == "__main__":
    main()
