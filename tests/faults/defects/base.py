"""What a defect is, and how one is put into a process whose modules are imported already."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from services.inference import segments


@dataclass(frozen=True, slots=True)
class Defect:
    """`apply` patches the process it is called in. `seen_as` names the violations that tell of it.

    `service` is what has the defect; `scenario`, of `tests/faults/scenarios.py`, brings it to light.
    """

    apply: Callable[[], None]
    service: str
    scenario: str
    seen_as: tuple[str, ...]


def replace(original: Any, by: Any, package: str = "services") -> None:
    """In every module of a package that has it under its name. Raises LookupError when none has."""
    name, found = original.__name__, False
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith(package) and getattr(module, name, None) is original:
            setattr(module, name, by)
            found = True
    if not found:
        raise LookupError(f"nothing in {package} uses {name}")


def close_whatever_is_left() -> None:
    """A segment whose counters are wrong is never closed: that guard would hide the defect that made them so."""
    segments._CLOSE = text("""
        UPDATE segments SET state = 'done', finished_at = clock_timestamp() WHERE id = :id
        RETURNING succeeded, failed, skipped, detections, true AS is_whole
    """)
