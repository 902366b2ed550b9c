"""The images hold what their service imports, in the versions that are tested."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("api", "inference", "notifier")
_TRIED_ONLY = {"python-multipart", "opentelemetry-api"}
"""Libraries import these when they are there; a service that needs one names it itself."""

_IMPORTED = """
import importlib, importlib.metadata, json, pkgutil, sys
service = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(service.__path__, service.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
importlib.import_module("alembic.command")
owners = importlib.metadata.packages_distributions()
tops = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted({name for top in tops for name in owners.get(top, [])})))
"""


def pinned(lock: str) -> dict[str, set[str]]:
    """Versions by name: two where they differ by Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / lock).read_text().splitlines():
        if matched := re.match(r"([a-z0-9._-]+)==([^ ;]+)", line):
            found.setdefault(matched[1], set()).add(matched[2])
    return found


def wanted(lines: list[str]) -> set[str]:
    names = (re.match(r"[a-zA-Z0-9._-]+(\[[a-z,]+\])?", line) for line in lines)
    return {name[0] for name in names if name}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_the_versions_of_the_project(image: str) -> None:
    tested = pinned("app.lock")
    assert {
        name: versions for name, versions in pinned(f"image-{image}.lock").items() if tested[name] != versions
    } == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(name for names in project["optional-dependencies"].values() for name in names)]
    asked = wanted((ROOT / "requirements" / f"image-{image}.in").read_text().splitlines()) - {"starlette"}
    assert asked <= wanted(named), "an image asks for what the project does not name"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_what_its_service_imports(image: str) -> None:
    command = [sys.executable, "-c", _IMPORTED, f"services.{image}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    imported = {name.lower().replace("_", "-") for name in json.loads(said)}
    missing = imported & pinned("app.lock").keys() - pinned(f"image-{image}.lock").keys() - _TRIED_ONLY
    assert missing == set(), f"name it in requirements/image-{image}.in, then `make image-locks`"
