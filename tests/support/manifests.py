"""What kustomize makes of deploy/kubernetes, and every check of it and of the Containerfile by tools of others.

`python -m tests.support.manifests` runs the checks, with what is in `.venv-manifests`.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-manifests" / "bin"
KUBERNETES = ROOT / "deploy" / "kubernetes"
CONTAINERFILE = ROOT / "deploy" / "containers" / "Containerfile"
OVERLAYS = tuple(sorted(path.name for path in (KUBERNETES / "overlays").iterdir()))
_SCHEMAS = Path(__file__).with_name("crd_schemas.py")

Json = dict[str, Any]


@cache
def rendered(overlay: str) -> str:
    """As `kubectl kustomize` writes it."""
    command = [str(TOOLS / "kubectl"), "kustomize", str(KUBERNETES / "overlays" / overlay)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@cache
def objects(overlay: str) -> tuple[Json, ...]:
    return tuple(yaml.safe_load_all(rendered(overlay)))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        files = list(_written(Path(folder)))
        shutil.copyfile(CONTAINERFILE, Path(folder) / "Dockerfile")
        codes = [
            _run("hadolint", str(CONTAINERFILE)),
            *(_run("kubernetes-validate", "--strict", "--quiet", str(file)) for file in files),
            *(_run("python", str(_SCHEMAS), str(file)) for file in files),
            _run("checkov", *_policies(folder)),
        ]
    return max(codes)


def _written(folder: Path) -> Iterator[Path]:
    for overlay in OVERLAYS:
        file = folder / f"{overlay}.yaml"
        file.write_text(rendered(overlay))
        yield file


def _policies(folder: str) -> list[str]:
    kinds = ["--framework", "kubernetes", "dockerfile"]
    return ["-d", folder, *kinds, "--config-file", str(KUBERNETES / ".checkov.yaml"), "--quiet", "--compact"]


def _run(tool: str, *arguments: str) -> int:
    command = [str(TOOLS / tool), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = "" if done.returncode == 0 else f"ended with {done.returncode}\n{done.stdout}{done.stderr}"
    sys.stdout.write(f"{tool} {Path(arguments[-1]).name if arguments else ''}: {said or 'ok'}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
