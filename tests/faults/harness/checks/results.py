"""Results belong to their rows: the same text and model give the same answer, in whatever run and place in a batch."""

from collections.abc import Iterator

from tests.faults.harness.checks.base import Violation, worked_on
from tests.faults.harness.database import Database, Run
from tests.faults.harness.history import History

_SLEEPS = "sleeps"

Said = tuple[tuple[str, float], ...]


def right(history: History, database: Database) -> Iterator[Violation]:
    """Against what the stand-in says by its own rule, and against every other run of the same model."""
    del history
    first: dict[tuple[str, str], tuple[str, Said]] = {}
    for run in worked_on(database):
        for row, said in _said(run).items():
            text = database.data_rows.get(row, {}).get("text")
            if text is None:  # a picture, or a row that is not there: another check's affair
                continue
            expected = _parity(text) if run.row["model_slug"].startswith(_SLEEPS) else None
            if expected is not None and (not said or said[0][0] != expected):
                yield Violation("wrong_result", run.id, f"{row} ({text[:20]!r}) is {expected}, stored {said}")
            other, before = first.setdefault((str(run.row["digest"]), text), (run.id, said))
            if before != said:
                yield Violation("wrong_result", run.id, f"{row}: stored {said}, in run {other} {before}")


def _said(run: Run) -> dict[str, Said]:
    """Of each success, what was detected, in order."""
    found: dict[str, list[tuple[str, float]]] = {
        str(outcome["data_row_id"]): [] for outcome in run.outcomes if outcome["state"] == "succeeded"
    }
    for detection in run.detections:
        said = found.setdefault(str(detection["data_row_id"]), [])
        said.append((detection["model_class"], round(detection["confidence"], 4)))
    return {row: tuple(said) for row, said in found.items()}


def _parity(text: str) -> str:
    """As `tests/support/stand_ins/model.py` says it."""
    return "odd" if sum(text.encode()) % 2 else "even"
