"""Whatever alignment passes the checks: all that it shows is an answer or object the ontology takes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.model_runs.checks import Aligning, Ground, check_alignment
from services.api.model_runs.schemas import AlignmentEntryCreate
from shared.alignment import Alignment, AlignmentEntry, Detection
from shared.annotations import ANNOTATION, CLASSIFICATION_TYPES, AnnotationValue, FeatureType, features_taking
from shared.answers import Answer
from shared.errors import Problems
from shared.ontology import Classification, FeatureSchema, Ontology, Option, Tool, features, with_ids
from shared.selection import PreLabel, select
from tests.support.cards import card
from tests.unit.shared.strategies import annotations

_PLATE = Classification(type="free_text", name="plate")
_COLOUR = Classification(
    type="radio", name="colour", options=(Option(name="red", classifications=(_PLATE,)), Option(name="blue"))
)
_SIDES = Classification(type="checklist", name="sides", options=(Option(name="left"), Option(name="right")))
_ONTOLOGY = with_ids(
    Ontology(
        tools=(
            Tool(type="bounding_box", name="box", classifications=(_COLOUR, _SIDES)),
            Tool(type="polygon", name="polygon", classifications=(_PLATE,)),
            Tool(type="point", name="point"),
            Tool(type="mask", name="mask"),
        ),
        classifications=(
            Classification(
                type="radio", name="one", options=(Option(name="a", classifications=(_COLOUR,)), *_SIDES.options)
            ),
            Classification(type="checklist", name="many", options=_COLOUR.options),
            Classification(type="free_text", name="words"),
        ),
    )
)  # fmt: skip
_NODES = list(features(_ONTOLOGY))
_BY_ID = {node.id: node for node in _NODES if node.id is not None}
_OPTIONS = {node.id: [one for one in _NODES if one.parent_id == node.id and one.node == "option"] for node in _NODES}
_ATTRIBUTES = ("text", "colour")
_KINDS = ("bounding_box", "polygon", "mask", "keypoints", "classification")
_ALL = {kind: card(kind.replace("_", "-"), kind, ("p", "q"), attributes=_ATTRIBUTES) for kind in _KINDS}


def _one_of(found: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(found) if found else st.none()


@st.composite
def _answers(draw: st.DrawFn, under: FeatureSchema) -> list[dict[str, Any]]:
    """Mostly such as the ontology takes; some from elsewhere."""
    found: list[dict[str, Any]] = []
    near = [node for node in _NODES if node.parent_id == under.id and node.node == "classification"]
    astray = _NODES if draw(st.integers(0, 7)) == 0 else []
    for node in [*near, *draw(st.lists(_one_of(astray), max_size=1) if astray else st.just([]))]:
        if draw(st.booleans()):
            continue
        if node.node != "classification" or draw(st.booleans()):
            found.append({"feature_schema_id": node.id, "attribute": draw(st.sampled_from(_ATTRIBUTES))})
            continue
        options = _OPTIONS[node.id]
        chosen = draw(_one_of(options))
        if node.type is FeatureType.FREE_TEXT:
            found.append({"feature_schema_id": node.id, "annotation": {"kind": "free_text", "text": "x"}})
        elif node.type is FeatureType.RADIO:
            found.append({"feature_schema_id": node.id, "annotation": {"kind": "radio", "option_id": chosen.id}})
            found += draw(_answers(chosen)) if draw(st.booleans()) else []
        else:
            ticked = [{"option_id": chosen.id}]
            found.append({"feature_schema_id": node.id, "annotation": {"kind": "checklist", "options": ticked}})
    return found


@st.composite
def _entries(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    takes = [node for node in _NODES if node.is_top_level and node.type in features_taking(kind)]
    feature = draw(st.sampled_from(takes or _NODES))
    option = draw(_one_of(_OPTIONS[feature.id]))
    target = {"feature_schema_id": feature.id, **({"option_id": option.id} if option else {})}
    return {
        "model_class": draw(st.sampled_from("pq")),
        "target": target,
        "threshold": draw(st.sampled_from((0.1, 0.5))),
        "max_count": draw(st.none() | st.just(1)),
        "answers": draw(_answers(option or feature)),
    }


def _checked(kind: str, wanted: list[dict[str, Any]]) -> tuple[AlignmentEntry, ...] | None:
    """None where something is wrong."""
    problems = Problems()
    entries = [AlignmentEntryCreate.model_validate(entry) for entry in wanted]
    found = check_alignment(Aligning(entries), Ground(_ALL[kind], _BY_ID, frozenset()), problems)
    return None if problems.errors else found


@st.composite
def _alignments(draw: st.DrawFn) -> tuple[str, tuple[AlignmentEntry, ...]]:
    """The kind the model gives, and the entries that pass together."""
    kind = draw(st.sampled_from(_KINDS))
    kept: list[dict[str, Any]] = []
    found: tuple[AlignmentEntry, ...] = ()
    for wanted in draw(st.lists(_entries(kind), min_size=1, max_size=4)):
        passed = _checked(kind, [*kept, wanted])
        if passed is not None:
            kept.append(wanted)
            found = passed
    return kind, found


def _detections(kind: str) -> st.SearchStrategy[list[Detection]]:
    fitting = annotations.filter(lambda annotation: annotation.model_dump()["kind"] == kind)
    one = st.builds(
        Detection,
        ordinal=st.just(0),
        model_class=st.sampled_from("pqr"),
        confidence=st.sampled_from((0.05, 0.3, 0.7)),
        attributes=st.dictionaries(st.sampled_from(_ATTRIBUTES), st.sampled_from(("red", "Left", "", 1.0, True))),
        annotation=fitting,
    )
    return st.lists(one, max_size=4).map(
        lambda row: [found.model_copy(update={"ordinal": place}) for place, found in enumerate(row)]
    )


def _wrong_value(asked: FeatureSchema, value: AnnotationValue) -> bool:
    foreign = [option for option in value.option_ids() if _BY_ID[option].parent_id != asked.id]
    return value.taken_by != asked.type or bool(foreign) or len(value.option_ids()) != len(set(value.option_ids()))


def _problems(pre_label: PreLabel) -> Iterator[str]:
    feature = _BY_ID[pre_label.target.feature_schema_id]
    ANNOTATION.validate_python(pre_label.annotation.model_dump())
    if not feature.is_top_level or _wrong_value(feature, pre_label.annotation):
        yield "the value is none of the feature's"
    below = {pre_label.target.option_id or feature.id}
    below |= {option for answer in pre_label.answers for option in answer.annotation.option_ids()}
    for answer in pre_label.answers:
        Answer.model_validate(answer.model_dump())
        asked = _BY_ID[answer.feature_schema_id]
        if asked.type not in CLASSIFICATION_TYPES or _wrong_value(asked, answer.annotation):
            yield f"the answer is none of {asked.name}"
        if asked.parent_id not in below:
            yield f"nothing asks for {asked.name}"
    if len({answer.feature_schema_id for answer in pre_label.answers}) != len(pre_label.answers):
        yield "a classification is answered twice"


@given(st.data())
def test_what_a_checked_alignment_shows_is_valid(data: st.DataObject) -> None:
    kind, entries = data.draw(_alignments())
    row = data.draw(_detections(kind))
    selection = select(row, Alignment(entries=entries))
    for pre_label in selection.shown:
        assert not list(_problems(pre_label))
    claims = Counter(
        (one.target.feature_schema_id, claim) for one in selection.shown for claim in one.annotation.claims()
    )
    assert all(count == 1 for count in claims.values()), "one answer a radio, each option of a checklist once"
    raw = Counter(one.model_class for one in row)
    assert sum(selection.ledger.values()) == len(row)
    assert raw == Counter({name: sum(n for (of, _), n in selection.ledger.items() if of == name) for name in raw})


def test_enough_alignments_pass_for_the_test_to_mean_something() -> None:
    passed: Counter[str] = Counter()

    @given(_alignments())
    def count(found: tuple[str, tuple[AlignmentEntry, ...]]) -> None:
        passed[found[0]] += bool(found[1])
        passed["answered"] += any(entry.answers for entry in found[1])
        passed["by attribute"] += any(entry.constant_answers is None for entry in found[1])

    count()
    assert min(passed[kind] for kind in _KINDS) > 0
    assert min(passed["answered"], passed["by attribute"]) >= 5, passed


@pytest.mark.parametrize("kind", _KINDS)
def test_every_conversion_that_is_stated_is_one(kind: str) -> None:
    for node in _NODES:
        if node.is_top_level and node.type in features_taking(kind):
            option = next(iter(_OPTIONS[node.id]), None)
            target = {"feature_schema_id": node.id, **({"option_id": option.id} if option else {})}
            (entry,) = _checked(kind, [{"model_class": "p", "target": target}]) or ()
            assert entry.conversion is not None
            assert (entry.conversion.from_, entry.conversion.to) == (kind, node.type)
            assert entry.conversion.loss
