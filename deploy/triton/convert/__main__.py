"""`python -m deploy.triton.convert NAME SOURCE OUT`: one conversion.

To add a model: write its file with `convert(source) -> Graph`, name it in `CONVERSIONS`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from deploy.triton.convert import efficientnet_lite, nanodet
from deploy.triton.convert.graph import Graph, save

CONVERSIONS: dict[str, Callable[[Path], Graph]] = {
    "nanodet": nanodet.convert,
    "efficientnet_lite": efficientnet_lite.convert,
}


def main(name: str, source: str, out: str) -> None:
    save(CONVERSIONS[name](Path(source)), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
