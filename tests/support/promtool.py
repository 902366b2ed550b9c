"""Prometheus' own checker of rules: the one that is installed, or out of its Debian package, once a machine."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from deploy.local.install import unpacked
from deploy.local.stack import ROOT

_KEPT = ROOT / "var" / "tools" / "promtool"


@cache
def promtool() -> Path | None:
    """None where it is not installed and the package cannot be had."""
    installed = shutil.which("promtool")
    if installed is not None:
        return Path(installed)
    if not _KEPT.exists():
        _KEPT.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_KEPT.parent) as folder:
            found = next(iter(unpacked("prometheus", Path(folder)).rglob("promtool")), None)
            if found is None:
                return None
            os.replace(found, _KEPT)
    return _KEPT
