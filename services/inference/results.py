"""What batches gave, as it is stored: outcomes, detections, what the alignment shows of them, and their counts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from services.inference.decoders.base import Attributes, Found
from services.inference.failures import RowFailed
from services.inference.inputs import Prepared
from services.inference.recipe import recipe_key
from services.inference.segments import Claim
from services.inference.trace import worker_of
from shared.annotations import Annotation
from shared.doubt import doubt_of
from shared.fingerprint import fingerprint
from shared.selection import Selection, select

Record: TypeAlias = tuple[Any, ...]
_TABLES = ("row_outcomes", "detections", "withheld_detections", "row_projections")


@dataclass(slots=True)
class Succeeded:
    row: Prepared
    found: Sequence[Found]
    trace: str


@dataclass(frozen=True, slots=True)
class Failed:
    data_row_id: UUID
    error: RowFailed
    attempts: int = 1


@dataclass(slots=True)
class _Numbered:
    """A detection as `shared.selection.select` sees it."""

    ordinal: int
    model_class: str
    confidence: float
    area: float | None
    attributes: Attributes
    annotation: Annotation

    @property
    def kind(self) -> str:
        return self.annotation.kind


@dataclass(slots=True)
class Outcomes:
    """What batches of one claim leave in the tables, as records ready to be copied there."""

    claim: Claim
    records: dict[str, list[Record]] = field(default_factory=lambda: {table: [] for table in _TABLES})
    ledger: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_read: list[Prepared] = field(default_factory=list)
    succeeded: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Stage and code of each row that failed."""

    @property
    def failed(self) -> int:
        return len(self.failures)

    @property
    def rows(self) -> int:
        return self.succeeded + self.failed

    @classmethod
    def of(cls, claim: Claim, succeeded: Sequence[Succeeded], failed: Sequence[Failed] = ()) -> "Outcomes":
        """Pure, and for any thread."""
        found = cls(claim)
        found._add_succeeded(succeeded)
        run, worker = (claim.model_run_id, claim.workspace_id, claim.segment_id, claim.execution), worker_of(claim)
        found.records["row_outcomes"] += [
            (
                *(*run, row.data_row_id, "failed"),
                *(row.error.stage, row.error.code, row.error.detail),
                *(row.attempts + claim.earlier_attempts.get(row.data_row_id, 0), 0, worker, None),
            )
            for row in failed
        ]
        found.failures = [(row.error.stage, row.error.code) for row in failed]
        return found

    @classmethod
    def together(cls, parts: Sequence["Outcomes"]) -> "Outcomes":
        """All of one claim."""
        if len(parts) == 1:
            return parts[0]
        found = cls(parts[0].claim)
        for part in parts:
            for table, records in part.records.items():
                found.records[table] += records
            found.ledger.update(part.ledger)
            found.first_read += part.first_read
            found.succeeded += part.succeeded
            found.failures += part.failures
        return found

    def _add_succeeded(self, succeeded: Sequence[Succeeded]) -> None:
        claim, annotations = self.claim, _Annotations()
        recipe = recipe_key(claim.configuration)
        for one in succeeded:
            content = one.row.content
            detections = [
                _Numbered(n, of.model_class, of.confidence, of.annotation.area(), of.attributes, of.annotation)
                for n, of in enumerate(one.found)
            ]
            # Of a withheld row everything reads as if nothing had been found, and nobody takes its result for another.
            withheld = content.data_row_id in claim.withheld
            shown = () if withheld else detections
            selection = select(shown, claim.alignment)
            mark = fingerprint(recipe, content.sha256) if recipe and not withheld else None
            self._add_row(one, len(shown), selection, mark)
            for place, count in selection.ledger.items():
                self.ledger[place] += count
            self.records["withheld_detections" if withheld else "detections"] += [
                (
                    claim.model_run_id,
                    claim.workspace_id,
                    content.data_row_id,
                    of.ordinal,
                    of.model_class,
                    of.confidence,
                    of.area,
                    orjson.dumps(of.attributes).decode() if of.attributes else None,
                    annotations.json(of.annotation),
                )
                for of in detections
            ]
            if content.first_read:
                self.first_read.append(one.row)
        self.succeeded += len(succeeded)

    def _add_row(self, one: Succeeded, detections: int, selection: Selection, mark: bytes | None) -> None:
        claim, row_id = self.claim, one.row.content.data_row_id
        run, workspace, attempts = claim.model_run_id, claim.workspace_id, 1 + claim.earlier_attempts.get(row_id, 0)
        of_row = (run, workspace, claim.segment_id, claim.execution, row_id)
        self.records["row_outcomes"].append(
            (*of_row, "succeeded", None, None, None, attempts, detections, one.trace, mark)
        )
        shown, doubt = len(selection.visible), doubt_of(selection)
        self.records["row_projections"].append((run, claim.alignment.version, row_id, workspace, shown, *doubt))


class _Annotations:
    """As JSON. Decoders give the same object for things that have no geometry, and it is written once."""

    def __init__(self) -> None:
        self._last: Annotation | None = None
        self._json = ""

    def json(self, annotation: Annotation) -> str:
        if annotation is not self._last:
            self._last, self._json = annotation, annotation.model_dump_json(exclude_none=True)
        return self._json
