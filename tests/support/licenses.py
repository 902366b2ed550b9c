"""Licenses of everything that is locked, as the packages themselves declare them.

`python -m tests.support.licenses` writes docs/operations/licenses.md.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageMetadata, distributions

from deploy.local.stack import ROOT

PAGE = ROOT / "docs" / "operations" / "licenses.md"
_APP, _TRITON = ROOT / ".venv", ROOT / ".venv-triton"
LOCKS: Mapping[str, tuple[str, ...]] = {
    "In the images of Prelabel": ("app",),
    "In the environment of the local Triton": ("triton", "tritonserver"),
    "For development and tests only": ("dev",),
}
FORBIDDEN = re.compile(r"AGPL|Affero|SSPL|Commons Clause|BUSL|non-?commercial|CC-BY-NC", re.IGNORECASE)
# What is installed on some systems or Pythons only, and so is not there to be asked everywhere.
_ELSEWHERE = {"async-timeout": "Apache-2.0", "colorama": "BSD-3-Clause", "httpx2-jsfetch": "BSD-3-Clause"}
_LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==", re.MULTILINE)
_LONGEST = 60


def locked(lock: str) -> Sequence[str]:
    """Names, in one spelling."""
    return sorted({_one_spelling(name) for name in _LINE.findall((ROOT / "requirements" / f"{lock}.lock").read_text())})


def licenses() -> Mapping[str, str]:
    """Of everything that is installed here; empty where a package declares none."""
    found = dict(_ELSEWHERE)
    for venv in (_TRITON, _APP):
        paths = [str(path) for path in venv.glob("lib/python*/site-packages")]
        found |= {_one_spelling(one.metadata["Name"]): license_of(one) for one in distributions(path=paths)}
    return found


def license_of(package: Distribution) -> str:
    """By the expression, else the classifiers, else the first line of the old field."""
    said = package.metadata
    if expression := _said(said, "License-Expression"):
        return expression
    classifiers = [
        one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or () if one.startswith("License ::")
    ]
    named = [one for one in classifiers if one != "OSI Approved"]
    if named:
        return ", ".join(sorted(named))
    line = _said(said, "License").strip().partition("\n")[0]
    return "" if line.upper() == "UNKNOWN" else line[:_LONGEST]


def _said(metadata: PackageMetadata, field: str) -> str:
    values = metadata.get_all(field)
    return str(values[0]) if values else ""


def findings(names: Sequence[str], known: Mapping[str, str]) -> Iterator[str]:
    for name in names:
        license_ = known.get(name, "")
        if not license_:
            yield f"{name} declares no license"
        elif FORBIDDEN.search(license_):
            yield f"{name} is under {license_}, which is forbidden here"


def page() -> str:
    known, listed = licenses(), set[str]()
    parts = [_HEAD]
    for title, locks in LOCKS.items():
        names = [name for lock in locks for name in locked(lock) if name not in listed]
        listed |= set(names)
        rows = [f"| {name} | {known.get(name, '')} |" for name in sorted(names)]
        parts.append("\n".join([f"## {title}\n", "| package | license |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


_HEAD = """# Licenses

Of every Python package in the lock files, as the packages themselves declare it; made by
`python -m tests.support.licenses`. A test fails on one that declares none, or one that is forbidden (AGPL, SSPL and the
like). Models and pictures have their own: see [models.md](../models.md). PostgreSQL is under the PostgreSQL License,
Valkey and Triton are under BSD-3-Clause."""


def _one_spelling(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.name} is up to date\n")
