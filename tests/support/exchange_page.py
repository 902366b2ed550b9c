"""The tables of docs/exchange.md, made from the registries of formats.

`python -m tests.support.exchange_page` writes them.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic.fields import FieldInfo

from services.api.exchange.formats import FORMATS, ExchangeFormat
from services.api.exchange.losses import ASPECTS
from services.api.exchange.ontologies import ONTOLOGY_FORMATS
from shared.annotations import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exchange.md"


def page() -> str:
    """As it should be."""
    text = PAGE.read_text()
    for name, part in (("ontologies", _ontologies()), ("formats", _formats())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
        text = f"{before}\n{part}\n{after}"
    return text


def _ontologies() -> str:
    rows = [f"| `{name}` | {', '.join(one.takes)} |" for name, one in ONTOLOGY_FORMATS.items()]
    return "\n".join(["| format | content types |", "|---|---|", *rows])


def _formats() -> str:
    return "\n\n".join(
        [
            _files(),
            _held(list(KINDS), "annotation"),
            _held(ASPECTS, "besides"),
            *filter(None, map(_told, FORMATS.values())),
        ]
    )


def _files() -> str:
    lines = ["| format | name | projects | file | out | in |", "|---|---|---|---|---|---|"]
    for name, one in FORMATS.items():
        ways = ["yes" if way else "-" for way in (one.write, one.read)]
        lines.append(
            f"| {one.title} | `{name}` | {', '.join(sorted(one.projects))} | .{one.suffix} | {' | '.join(ways)} |"
        )
    return "\n".join(lines)


def _held(what: Sequence[str], title: str) -> str:
    lines = [f"| {title} | {' | '.join(f'`{name}`' for name in FORMATS)} |", f"|---|{'---|' * len(FORMATS)}"]
    for thing in what:
        cells = [_cell(one, thing) for one in FORMATS.values()]
        lines.append(f"| `{thing}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(one: ExchangeFormat, thing: str) -> str:
    if thing not in one.holds:
        return "-"
    return ", ".join(f"`{code}`" for code in one.holds[thing]) or "yes"


def _told(one: ExchangeFormat) -> str:
    options = [
        *_options("out", one.export_options.model_fields),
        *_options("in", one.import_options.model_fields),
    ]
    losses = [f"| `{code}` | {sentence} |" for code, sentence in sorted(one.losses.items())]
    parts = [f"### {one.title}"]
    if losses:
        parts.append("\n".join(["| lost | why |", "|---|---|", *losses]))
    if options:
        parts.append("\n".join(["| option | way | default | what it does |", "|---|---|---|---|", *options]))
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _options(way: str, fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        default = "required" if field.is_required() else f"`{field.default}`"
        yield f"| `{name}` | {way} | {default} | {field.description or ''} |"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.name} is up to date\n")
