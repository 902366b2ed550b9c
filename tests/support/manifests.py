"""Every check of deploy/containers and deploy/kubernetes, with the tools of `.venv-manifests`.

`python -m tests.support.manifests` runs them.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-manifests" / "bin"
CONTAINERFILE = "deploy/containers/Containerfile"


def main() -> int:
    return _run("hadolint", CONTAINERFILE)


def _run(tool: str, *arguments: str) -> int:
    command: Sequence[str] = [str(TOOLS / tool), *arguments]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    sys.stdout.write(f"{tool}: {'ok' if code == 0 else f'ended with {code}'}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
