"""The formats' own libraries, in the environment they have for themselves (`.venv-formats`): what they see in a file.

Each reader beside this file is a program of that environment: it takes paths, prints JSON, and imports nothing of ours.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[3]
PYTHON = _ROOT / ".venv-formats" / "bin" / "python"
_SECONDS = 170


def seen_by(reader: str, *paths: Path | str) -> Any:
    """What the library of `<reader>_reader.py` sees. Its own refusal fails the test with its words."""
    program = Path(__file__).parent / f"{reader}_reader.py"
    command = [str(PYTHON), str(program), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS, text=True)
    assert done.returncode == 0, f"{reader} refuses it:\n{done.stderr[-3000:]}"
    return json.loads(done.stdout.splitlines()[-1])
