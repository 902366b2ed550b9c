"""Ontologies: every problem has its code and its place, and ids mean the same node for ever."""

from typing import Any
from uuid import UUID

import pytest

from shared.annotations import FeatureType
from shared.ids import new_id
from shared.ontology import MAX_DEPTH, MAX_FEATURES, FeatureSchema, Ontology, check_ontology, features, with_ids
from shared.preprocessing import MediaType

SCENE = {"type": "radio", "name": "Scene", "options": [{"name": "in"}, {"name": "out"}]}


def ontology(**tree: Any) -> Ontology:
    return Ontology.model_validate(tree)


def problems(tree: Ontology, media_type: MediaType = "image", known: list[FeatureSchema] | None = None) -> set[Any]:
    return {(error.pointer, error.code) for error in check_ontology(tree, media_type, known or []).errors}


def nested(depth: int) -> Any:
    """A radio in an option in a radio …; each step goes two levels down."""
    below = [nested(depth - 2)] if depth > 2 else []
    return {"type": "radio", "name": "deeper", "options": [{"name": "here", "classifications": below}]}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"tools": [{"type": "text_entity", "name": "A"}]}, {("/tools/0/type", "tool_does_not_fit_media_type")}),
        (
            {"tools": [{"type": "point", "name": "A"}], "classifications": [{"type": "free_text", "name": " a "}]},
            {("/classifications/0/name", "duplicate_name")},
        ),
        (
            {"classifications": [{**SCENE, "options": [{"name": "in"}, {"name": "IN"}]}]},
            {("/classifications/0/options/1/name", "duplicate_name")},
        ),
        ({"tools": [{"type": "mask", "name": "  "}]}, {("/tools/0/name", "empty_name")}),
        ({"classifications": [{"type": "radio", "name": "A"}]}, {("/classifications/0/options", "options_missing")}),
        (
            {"tools": [{"type": "point", "name": "T", "classifications": [{"type": "checklist", "name": "A"}]}]},
            {("/tools/0/classifications/0/options", "options_missing")},
        ),
        (
            {"classifications": [{**SCENE, "type": "free_text"}]},
            {("/classifications/0/options", "options_not_allowed")},
        ),
        (
            {"classifications": [nested(MAX_DEPTH + 1)]},
            {
                ("/classifications/0" + "/options/0/classifications/0" * 4, "nested_too_deep"),
                ("/classifications/0" + "/options/0/classifications/0" * 4 + "/options/0", "nested_too_deep"),
            },
        ),
    ],
)
def test_each_problem_says_where_it_is(tree: dict[str, Any], expected: set[Any]) -> None:
    assert problems(ontology(**tree)) == expected


def test_all_problems_are_listed_at_once() -> None:
    tree = ontology(tools=[{"type": "text_entity", "name": "A"}, {"type": "point", "name": "a"}])
    assert len(problems(tree)) == 2


def test_what_is_right_has_no_problem() -> None:
    tree = ontology(
        tools=[{"type": "bounding_box", "name": "Car", "classifications": [SCENE]}],
        classifications=[SCENE, {"type": "free_text", "name": "Notes"}, nested(MAX_DEPTH)],
    )
    assert problems(tree) == set()


def test_names_may_repeat_under_other_parents() -> None:
    parts = {"type": "checklist", "name": "Parts", "options": [{"name": "wheel"}]}
    tree = ontology(tools=[{"type": "point", "name": name, "classifications": [parts]} for name in ("Car", "Bus")])
    assert problems(tree) == set()


@pytest.mark.parametrize(
    ("media_type", "tool", "fits"),
    [("image", kind, kind != "text_entity") for kind in FeatureType if kind in {"bounding_box", "mask", "text_entity"}]
    + [("text", "text_entity", True), ("text", "polygon", False)],
)
def test_tools_fit_the_media_type(media_type: MediaType, tool: str, fits: bool) -> None:
    assert (problems(ontology(tools=[{"type": tool, "name": "A"}]), media_type) == set()) is fits


def test_too_many_features_are_one_problem() -> None:
    tree = ontology(tools=[{"type": "point", "name": str(number)} for number in range(MAX_FEATURES + 1)])
    assert problems(tree) == {("", "too_many_features")}


def test_ids_survive_and_new_nodes_get_one() -> None:
    first = with_ids(ontology(tools=[{"type": "point", "name": "A", "classifications": [SCENE]}]))
    ids = [feature.id for feature in features(first)]
    assert None not in ids
    assert len(set(ids)) == len(ids) == 4
    assert with_ids(first) == first
    grown = first.model_dump(mode="json")
    grown["tools"].append({"type": "mask", "name": "B"})
    second = with_ids(ontology(**grown))
    assert problems(ontology(**grown), known=list(features(first))) == set()
    assert [feature.id for feature in features(second)][:4] == ids


def test_parents_come_before_children() -> None:
    seen: set[UUID | None] = {None}
    for feature in features(with_ids(ontology(classifications=[nested(6)], tools=[{"type": "point", "name": "A"}]))):
        assert feature.parent_id in seen
        seen.add(feature.id)


def test_ids_are_not_reused_moved_or_made_up() -> None:
    old = with_ids(ontology(tools=[{"type": "point", "name": "A", "classifications": [SCENE]}], classifications=[]))
    known = list(features(old))
    tool, scene = known[0].id, known[1].id
    point = {"type": "point", "name": "A", "id": tool}

    def found(*tools: Any, classifications: Any = ()) -> set[Any]:
        return problems(ontology(tools=tools, classifications=classifications), known=known)

    assert found({**point, "id": new_id()}) == {("/tools/0/id", "unknown_id")}
    assert found({**point, "type": "mask"}) == {("/tools/0", "kind_changed")}
    assert found(point, {**point, "name": "B"}) == {("/tools/1/id", "duplicate_id")}
    assert found(point, classifications=[{**SCENE, "id": scene}]) == {("/classifications/0", "parent_changed")}
    assert found({**point, "name": "Another name"}) == set(), "a name may change"


def test_a_removed_node_may_come_back() -> None:
    old = with_ids(ontology(tools=[{"type": "point", "name": "A"}]))
    assert problems(ontology(**old.model_dump(mode="json")), known=list(features(old))) == set()
