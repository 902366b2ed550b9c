"""A changed alignment: the present one with a merge patch, checked as a submitted one is. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.api.model_runs.checks import Aligning, Ground, check_alignment, check_range, check_threshold
from services.api.model_runs.schemas import AlignmentEntryCreate, AlignmentUpdate
from services.api.pointers import escape
from shared.alignment import Alignment, AlignmentEntry
from shared.errors import Conflict, Problems

_REFUSED = "the alignment cannot be changed like this"


@dataclass(frozen=True, slots=True)
class Present:
    """How a run is shown now, and the criteria it was made with."""

    alignment: Alignment
    criteria: Mapping[str, str]


def realigned(present: Present, wanted: AlignmentUpdate, ground: Ground) -> tuple[AlignmentEntry, ...]:
    """First `alignment`, then `threshold`, then `thresholds` take effect. Raises Unprocessable with all problems."""
    problems, found = Problems(), Problems()
    entries = (
        wanted.alignment.entries if wanted.alignment else _as_sent(present.alignment, keep=wanted.threshold is None)
    )
    thresholds = _check_thresholds(wanted.thresholds or {}, entries, ground, problems)
    entries = [
        entry.model_copy(update={"threshold": thresholds[entry.model_class]})
        if entry.model_class in thresholds
        else entry
        for entry in entries
    ]
    checked = check_alignment(Aligning(entries, wanted.threshold, present.criteria), ground, found)
    for error in found.errors:
        in_body = wanted.alignment is not None or not error.pointer.startswith("/alignment")
        # The ontology may have changed since: what is wrong with the present alignment has no place in the body.
        detail = error.detail if in_body else f"in the present alignment, {error.pointer}: {error.detail}"
        problems.add(error.pointer if in_body else "", error.code, detail)
    problems.raise_if_any(_REFUSED, code="invalid_alignment")
    return checked


def with_thresholds(present: Alignment, wanted: AlignmentUpdate) -> tuple[AlignmentEntry, ...]:
    """Of predictions made elsewhere, whose classes are features by name. Raises Conflict or Unprocessable."""
    if wanted.alignment is not None:
        detail = "predictions made elsewhere are shown for the features that their classes are named like"
        raise Conflict(f"{detail}; only thresholds can be changed", code="no_model")
    problems, thresholds = Problems(), dict(wanted.thresholds or {})
    aligned = {entry.model_class for entry in present.entries}
    for model_class in sorted(thresholds.keys() - aligned):
        pointer = f"/thresholds/{escape(model_class)}"
        problems.add(pointer, "class_not_aligned", "no entry of the alignment is about this class")
    sent = {f"/thresholds/{escape(name)}": value for name, value in thresholds.items()}
    for pointer, value in {"/threshold": wanted.threshold, **sent}.items():
        if value is not None:
            check_range(pointer, value, problems)
    problems.raise_if_any(_REFUSED, code="invalid_alignment")
    general = {name: wanted.threshold for name in aligned if wanted.threshold is not None}
    chosen = {**general, **thresholds}
    return tuple(
        entry.model_copy(update={"threshold": chosen.get(entry.model_class, entry.threshold)})
        for entry in present.entries
    )


def as_sent(entry: AlignmentEntry) -> AlignmentEntryCreate:
    """As a client would have to write it."""
    return AlignmentEntryCreate.model_validate(entry.model_dump(by_alias=True))


def _as_sent(present: Alignment, *, keep: bool) -> Sequence[AlignmentEntryCreate]:
    """`keep`: with the thresholds they have."""
    sent = [as_sent(entry) for entry in present.entries]
    return sent if keep else [entry.model_copy(update={"threshold": None}) for entry in sent]


def _check_thresholds(
    wanted: Mapping[str, float], entries: Sequence[AlignmentEntryCreate], ground: Ground, problems: Problems
) -> dict[str, float]:
    """Those that may be used."""
    aligned = {entry.model_class for entry in entries}
    good = {}
    for model_class, threshold in wanted.items():
        pointer, before = f"/thresholds/{escape(model_class)}", len(problems.errors)
        if model_class not in aligned:
            problems.add(pointer, "class_not_aligned", "no entry of the alignment is about this class")
        else:
            check_threshold(pointer, threshold, ground.card, problems)
        if len(problems.errors) == before:
            good[model_class] = threshold
    return good
