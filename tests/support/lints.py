"""The rules of this house that no linter has: one small check each, with its reason.

`python -m tests.support.lints` prints what breaks them.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CODE = ("shared", "services", "deploy", "migrations/env.py")
_LONGEST_FUNCTION, _LONGEST_FILE = 50, 300
_REVISION = re.compile(r'^(revision|down_revision): str(?: \| None)? = "(.+?)"', re.MULTILINE)

Finding = tuple[int, str]


class Source:
    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.tree = ast.parse(text)


Check = Callable[[Path, Source], Iterator[Finding]]


def commits_at_the_edge(path: Path, source: Source) -> Iterator[Finding]:
    """A commit in the middle splits a promise in two: rows without their event, or the other way round."""
    if path.name == "unit_of_work.py" or path.parts[0] not in {"shared", "services"}:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit":
            yield node.lineno, "only the unit of work commits"


def problems_not_http_exceptions(path: Path, source: Source) -> Iterator[Finding]:
    """An HTTPException in the middle ties it to HTTP and leaves the shape of a problem to chance."""
    if path.parts[0] != "services":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "HTTPException":
            yield node.lineno, "raise an error of shared.errors"


def kinds_in_their_own_files(path: Path, source: Source) -> Iterator[Finding]:
    """One more annotation kind must cost its own file and one line, not an `if` in eleven."""
    if path.is_relative_to("shared/annotations"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "kind":
            owner = node.left.value
            if "annotation" in (getattr(owner, "attr", None) or getattr(owner, "id", "") or ""):
                yield node.lineno, "ask the annotation, do not compare its kind"


def short_functions(path: Path, source: Source) -> Iterator[Finding]:
    """What does not fit on a screen is read wrongly."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > _LONGEST_FUNCTION and path.parts[:2] != ("migrations", "versions"):
                yield node.lineno, f"{node.name} has {length} lines; at most {_LONGEST_FUNCTION}"


def short_files(path: Path, source: Source) -> Iterator[Finding]:
    """Split by verb before a file becomes a place where things are looked for."""
    del path
    length = len(source.lines)
    if length > _LONGEST_FILE:
        yield 1, f"{length} lines; at most {_LONGEST_FILE}"


def no_broad_except(path: Path, source: Source) -> Iterator[Finding]:
    """`except Exception` hides bugs as outcomes; the few that guard foreign code say so in a comment on the line."""
    if path.parts[0] not in {"shared", "services"}:
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler) or not isinstance(node.type, ast.Name):
            continue
        if node.type.id == "Exception" and "#" not in source.lines[node.lineno - 1]:
            yield node.lineno, "name the exceptions, or say why not"


CHECKS: tuple[Check, ...] = (
    commits_at_the_edge,
    problems_not_http_exceptions,
    kinds_in_their_own_files,
    short_functions,
    short_files,
    no_broad_except,
)


def main() -> int:
    findings = [finding for path in _files() for finding in findings_in(path, (ROOT / path).read_text())]
    findings += heads_of({path.name: path.read_text() for path in (ROOT / "migrations" / "versions").glob("*.py")})
    sys.stdout.writelines(f"{finding}\n" for finding in findings)
    return 1 if findings else 0


def heads_of(migrations: Mapping[str, str]) -> list[str]:
    """Two that were written side by side each know the same one before them; then nobody's database can move on."""
    known = {name: dict(_REVISION.findall(text)) for name, text in migrations.items()}
    before = {found.get("down_revision") for found in known.values()}
    heads = sorted(name for name, found in known.items() if found["revision"] not in before)
    return [] if len(heads) == 1 else [f"migrations/versions: {', '.join(heads)} are heads; put one after the other"]


def findings_in(path: Path, text: str) -> Iterator[str]:
    """What breaks a rule in a file of this text at this place of the tree."""
    source = Source(text)
    for check in CHECKS:
        for line, message in check(path, source):
            yield f"{path}:{line}: {message} ({check.__name__})"


def _files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in listed.stdout.splitlines()]
    return [path for path in paths if str(path).startswith(_CODE) and (ROOT / path).is_file()]


if __name__ == "__main__":
    sys.exit(main())
