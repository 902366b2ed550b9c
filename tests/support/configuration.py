"""The configuration tables of the README and of docs/operations, made from the settings classes.

`python -m tests.support.configuration` writes it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from services.api.settings import ApiSettings, WorkerSettings
from services.inference.settings import InferenceSettings
from services.notifier.settings import NotifierSettings

README = Path(__file__).resolve().parents[2] / "README.md"
PAGE = README.parent / "docs" / "operations" / "configuration.md"
_HEAD = """# Configuration

Everything is read from the environment, once, at the start of a process; a wrong value stops the start and says which
it was. Lists are JSON. Made from the settings classes by `python -m tests.support.configuration`, a table for each
process with all that it reads. What the local stack sets by itself is in the [README](../../README.md#configuration).

*operations* is `python -m services.api.worker`. The SDK of OpenTelemetry reads further variables of its own; see
[logs and traces](logs-and-traces.md). `DATABASE_URL` takes libpq's
`?sslmode=`; without it TLS is spoken where PostgreSQL offers it. `sslmode=verify-full` checks who answers, by the
authorities in the file that `PGSSLROOTCERT` names."""
_BEGIN, _END = "<!-- configuration: begin -->", "<!-- configuration: end -->"
_SERVICES: dict[str, type[BaseSettings]] = {
    "api": ApiSettings,
    "operations": WorkerSettings,
    "inference": InferenceSettings,
    "notifier": NotifierSettings,
}


def table() -> str:
    """One line a variable, those that every service reads first."""
    found: dict[str, tuple[list[str], Any]] = {}
    for service, settings in _SERVICES.items():
        for name, field in settings.model_fields.items():
            found.setdefault(name, ([], field))[0].append(service)
    rows = sorted(found.items(), key=lambda item: -len(item[1][0]))
    lines = [
        f"| `{name.upper()}` | {_readers(by)} | {_default(field)} | {field.description} |" for name, (by, field) in rows
    ]
    return "\n".join(["| variable | read by | default | what it is |", "|---|---|---|---|", *lines])


def page() -> str:
    """A table for each process, with what it alone reads and what it shares."""
    parts = [_HEAD]
    for service, settings in _SERVICES.items():
        rows = [
            f"| `{name.upper()}` | {_default(field)} | {field.description} |"
            for name, field in sorted(settings.model_fields.items(), key=_required_first)
        ]
        parts.append("\n".join([f"## {service}\n", "| variable | default | what it is |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def in_readme() -> str:
    text = README.read_text()
    return text[text.index(_BEGIN) + len(_BEGIN) : text.index(_END)].strip()


def write() -> None:
    text = README.read_text()
    before, after = text[: text.index(_BEGIN) + len(_BEGIN)], text[text.index(_END) :]
    README.write_text(f"{before}\n{table()}\n{after}")
    PAGE.write_text(page())


def _required_first(item: tuple[str, Any]) -> tuple[bool, str]:
    name, field = item
    return field.default is not PydanticUndefined, name


def _readers(services: list[str]) -> str:
    return "all" if len(services) == len(_SERVICES) else ", ".join(services)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, "", (), []):
        return "none"
    # As it is written in the environment.
    shown = json.dumps(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{shown}`"


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{README.name} is up to date\n")
