"""A home for PostgreSQL's data when root keeps the state below a folder that is closed to others, such as /root.

The server runs as another account then and cannot go there. The state folder holds a link to the home, the home names
the state folder.
"""

import shutil
import tempfile
from pathlib import Path

HOMES = Path("/var/lib/prelabel")


def home_elsewhere(link: Path) -> Path:
    """The home that `link` leads to, made on first use."""
    if not link.exists():
        HOMES.mkdir(parents=True, exist_ok=True)
        HOMES.chmod(0o755)
        _remove_forgotten()
        home = Path(tempfile.mkdtemp(dir=HOMES))
        link.unlink(missing_ok=True)
        link.symlink_to(home)
    (link.resolve() / "of").write_text(str(link))
    return link.resolve()


def remove_home(link: Path) -> None:
    """Nothing happens when there is none."""
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)


def _remove_forgotten() -> None:
    """Those of tests whose state folder is gone. Never others: a state folder may only have been moved."""
    for note in HOMES.glob("*/of"):
        link = Path(note.read_text())
        if "test" in link.parts and not link.is_symlink():
            shutil.rmtree(note.parent, ignore_errors=True)
