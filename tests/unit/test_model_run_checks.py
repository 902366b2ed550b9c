"""The pure parts of submitting and deciding."""

import base64
import contextlib
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.model_runs.checks import exclusive
from services.api.model_runs.submit import segment_size
from services.api.model_runs.transitions import MOVES, check_verb
from shared.alignment import Alignment, AlignmentEntry, Detection, Target
from shared.annotations import BoundingBox, FeatureType
from shared.conditions import Condition, Range
from shared.contracts.event import RunState
from shared.contracts.events import TERMINAL_STATES
from shared.contracts.run_verbs import RunVerb, allowed_verbs
from shared.database.tables import ModelRunRow
from shared.errors import Conflict
from shared.pre_label_id import PreLabelId, parse_pre_label_id
from shared.selection import select

_EDGES = st.none() | st.sampled_from((0.0, 0.25, 0.5, 0.75, 1.0))
_RANGES = st.none() | st.builds(Range, minimum=_EDGES, maximum=_EDGES)
_ATTRIBUTES = st.dictionaries(st.sampled_from("ab"), st.sampled_from((1.0, "x", True)), max_size=2)
_CONDITIONS = st.none() | st.builds(Condition, confidence=_RANGES, area=_RANGES, attribute=_ATTRIBUTES)
_DETECTIONS = st.builds(
    Detection,
    ordinal=st.just(0),
    model_class=st.sampled_from("pq"),
    confidence=st.sampled_from((0.0, 0.2, 0.25, 0.4, 0.5, 0.9, 1.0)),
    area=st.sampled_from((None, 0.0, 0.3, 0.5, 0.8)),
    attributes=_ATTRIBUTES,
    annotation=st.just(BoundingBox(left=0, top=0, width=1, height=1)),
)
_FEATURES = [UUID(int=n) for n in range(1, 4)]


@given(_CONDITIONS, _CONDITIONS, _DETECTIONS)
def test_no_detection_meets_conditions_that_exclude_one_another(
    one: Condition | None, other: Condition | None, detection: Detection
) -> None:
    both = (one is None or one.holds(detection)) and (other is None or other.holds(detection))
    assert exclusive(one, other) == exclusive(other, one)
    assert not (exclusive(one, other) and both)


@given(
    st.lists(_DETECTIONS, max_size=6),
    st.lists(
        st.tuples(st.sampled_from("pqr"), st.sampled_from(_FEATURES), _CONDITIONS, st.sampled_from((0.1, 0.5))),
        max_size=6,
    ),
)
def test_ledger_and_ids_hold_for_every_alignment_that_passes(
    found: list[Detection], wanted: list[tuple[str, UUID, Condition | None, float]]
) -> None:
    kept: list[tuple[str, UUID, Condition | None, float]] = []
    for entry in wanted:  # as the check of duplicates does
        if all(entry[:2] != other[:2] or exclusive(entry[2], other[2]) for other in kept):
            kept.append(entry)
    alignment = Alignment(
        entries=tuple(
            AlignmentEntry(
                model_class=model_class,
                target=Target(feature_schema_id=feature),
                target_type=FeatureType.BOUNDING_BOX,
                when=when,
                threshold=threshold,
            )
            for model_class, feature, when, threshold in kept
        )
    )
    detections = [one.model_copy(update={"ordinal": ordinal}) for ordinal, one in enumerate(found)]
    selection = select(detections, alignment)
    assert sum(selection.ledger.values()) == len(detections)
    visible = {pre_label.ordinal for pre_label in selection.shown}
    assert visible.isdisjoint(selection.dropped)
    assert len(visible) + len(selection.dropped) == len(detections)
    places = [(pre_label.ordinal, pre_label.target.feature_schema_id) for pre_label in selection.shown]
    assert len(places) == len(set(places))


@given(st.uuids(), st.uuids(), st.integers(0, 2**32 - 1), st.uuids())
def test_pre_label_id_comes_back(run: UUID, row: UUID, ordinal: int, feature: UUID) -> None:
    wanted = PreLabelId(run, row, ordinal, feature)
    assert parse_pre_label_id(str(wanted)) == wanted


_ID = str(PreLabelId(UUID(int=1), UUID(int=2), 3, UUID(int=4)))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "pl_",
        "pl_é",
        _ID[3:],
        _ID + "A",
        _ID + "==",
        _ID[:-1],
        _ID[:-1] + "B",
        "pl_" + _ID,
        "pl_" + base64.b64encode(b"\xff" * 52).decode().rstrip("="),
        _ID.replace("A", "*", 1),
    ],
)
def test_other_texts_are_no_pre_label_ids(wrong: str) -> None:
    assert parse_pre_label_id(wrong) is None


def test_segments_are_about_five_seconds_of_work() -> None:
    sizes = [segment_size(rate) for rate in (None, 0.0, 0.1, 10.0, 50.0, 10_000.0)]
    assert sizes == [64, 64, 32, 50, 250, 1024]


def test_moves_are_those_of_the_states() -> None:
    states = set(get_args(RunState))
    assert set(MOVES) == states == {state for moves in MOVES.values() for state in moves}
    open_states = states - TERMINAL_STATES
    assert {state for state in states if "cancelled" in MOVES[state]} == open_states


_WANTED: dict[RunVerb, RunState] = {
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "queued",
    "retry_failed": "queued",
}


@pytest.mark.parametrize("state", get_args(RunState))
def test_verbs_are_allowed_where_their_moves_are(state: RunState) -> None:
    run = ModelRunRow(state=state, purpose="run", results_discarded=False, undone_at=None)
    verbs = set(allowed_verbs(state, "run", hides_pending=False))
    for verb in get_args(RunVerb):
        with contextlib.nullcontext() if verb in verbs else pytest.raises(Conflict) as caught:
            check_verb(run, verb)
        if caught is not None:
            assert caught.value.code == "illegal_transition"
            extra = caught.value.extra
            assert (extra["state"], extra["allowed"], set(extra["allowed_verbs"])) == (  # type: ignore[call-overload]
                state,
                sorted(MOVES[state]),
                verbs,
            )
    moving = {_WANTED[verb] for verb in verbs - {"undo"}}
    assert moving <= MOVES[state]
    assert ("undo" in verbs) == (state in TERMINAL_STATES)


def test_verbs_that_would_change_nothing_are_not_offered() -> None:
    assert allowed_verbs("completed_with_errors", "run", hides_pending=True) == ()
    assert allowed_verbs("failed", "import", hides_pending=False) == ("undo",)
    assert allowed_verbs("running", "preview", hides_pending=False) == ("cancel",)
