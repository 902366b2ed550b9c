"""Texts with known answers that lie beside the benches."""

import re
from collections.abc import Iterator
from pathlib import Path

LABELED = Path(__file__).parents[1] / "labeled"
_MARKED = re.compile(r"\[([^\]|]+)\|([A-Z_]+)\]")

Entity = tuple[int, int, str]
"""Start and end in code points, class."""


def lines(path: Path) -> Iterator[str]:
    """Without the comments at the top and empty lines."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line


def unmarked(line: str) -> tuple[str, set[Entity]]:
    """The sentence of `[Ada|PERSON] wrote.` and where its entities stand."""
    text, entities, place = "", set(), 0
    for mark in _MARKED.finditer(line):
        text += line[place : mark.start()]
        entities.add((len(text), len(text) + len(mark[1]), mark[2]))
        text, place = text + mark[1], mark.end()
    return text + line[place:], entities
