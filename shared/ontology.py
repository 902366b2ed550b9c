"""What may be labeled in a project: a tree of tools, classifications and options."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.annotations import FeatureType
from shared.errors import Problems
from shared.ids import new_id
from shared.preprocessing import MediaType

MAX_FEATURES = 4_000
MAX_DEPTH = 8

ToolType = Literal["bounding_box", "polygon", "polyline", "point", "mask", "text_entity"]
ClassificationType = Literal["radio", "checklist", "free_text"]
Name = Annotated[str, Field(min_length=1, max_length=200)]

_TOOLS_OF_MEDIA: dict[MediaType, frozenset[str]] = {
    "image": frozenset({"bounding_box", "polygon", "polyline", "point", "mask"}),
    "text": frozenset({"text_entity"}),
}


class _Node(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID | None = Field(default=None, description="leave out for a new node; keep it to keep the node")
    name: Name


class Option(_Node):
    classifications: tuple["Classification", ...] = ()


class Classification(_Node):
    type: ClassificationType
    instructions: str = Field(default="", max_length=2000)
    required: bool = False
    options: tuple[Option, ...] = ()


class Tool(_Node):
    type: ToolType
    color: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$", examples=["#d73027"])
    required: bool = False
    classifications: tuple[Classification, ...] = ()


class Ontology(BaseModel):
    """One version of it. Names are unique among siblings; an id, once given, means the same node for ever."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "tools": [
                        {"type": "bounding_box", "name": "Person"},
                        {"type": "bounding_box", "name": "Cat"},
                    ],
                    "classifications": [
                        {
                            "type": "radio",
                            "name": "Scene",
                            "options": [{"name": "indoors"}, {"name": "outdoors"}],
                        }
                    ],
                }
            ]
        },
    )

    tools: tuple[Tool, ...] = ()
    classifications: tuple[Classification, ...] = ()


Node = Tool | Classification | Option
NodeWord = Literal["tool", "classification", "option"]


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """One node as the flat list has it. `pointer` is its place in the tree; options have no type."""

    id: UUID | None
    node: NodeWord
    type: FeatureType | None
    name: str
    parent_id: UUID | None
    pointer: str
    depth: int

    @property
    def is_top_level(self) -> bool:
        return self.parent_id is None


def features(ontology: Ontology) -> Iterator[FeatureSchema]:
    """Every node, parents before children."""
    yield from _walk(ontology.tools, "tool", "/tools", None, 1)
    yield from _walk(ontology.classifications, "classification", "/classifications", None, 1)


def required_ids(ontology: Ontology) -> set[UUID | None]:
    """The nodes of which there must be one: tools and top classifications in a data row, the others in their label."""
    nested = (node.id for _, node in _classifications(ontology) if node.required)
    return {*nested, *(tool.id for tool in ontology.tools if tool.required)}


def with_ids(ontology: Ontology) -> Ontology:
    """The same tree with an id on every node."""
    return Ontology(
        tools=tuple(_tool_with_ids(tool) for tool in ontology.tools),
        classifications=tuple(_classification_with_ids(child) for child in ontology.classifications),
    )


def check_ontology(ontology: Ontology, media_type: MediaType, known: Sequence[FeatureSchema] = ()) -> Problems:
    """Everything wrong with it, by JSON pointer. `known` are all nodes earlier versions had."""
    problems = Problems()
    found = list(features(ontology))
    if len(found) > MAX_FEATURES:
        problems.add(
            "",
            "too_many_features",
            f"{len(found)} nodes; at most {MAX_FEATURES} are allowed",
        )
        return problems
    _check_tools(ontology, media_type, problems)
    _check_siblings(found, problems)
    _check_options(ontology, problems)
    _check_ids(found, known, problems)
    return problems


def _walk(
    nodes: Sequence[Node], word: NodeWord, pointer: str, parent: UUID | None, depth: int
) -> Iterator[FeatureSchema]:
    for index, node in enumerate(nodes):
        here = f"{pointer}/{index}"
        kind = None if isinstance(node, Option) else FeatureType(node.type)
        yield FeatureSchema(node.id, word, kind, node.name, parent, here, depth)
        if isinstance(node, Classification):
            yield from _walk(node.options, "option", f"{here}/options", node.id, depth + 1)
        else:
            yield from _walk(
                node.classifications,
                "classification",
                f"{here}/classifications",
                node.id,
                depth + 1,
            )


def _check_tools(ontology: Ontology, media_type: MediaType, problems: Problems) -> None:
    for index, tool in enumerate(ontology.tools):
        if tool.type not in _TOOLS_OF_MEDIA[media_type]:
            allowed = ", ".join(sorted(_TOOLS_OF_MEDIA[media_type]))
            problems.add(
                f"/tools/{index}/type",
                "tool_does_not_fit_media_type",
                f"{media_type} projects take: {allowed}",
            )


def _check_siblings(found: Sequence[FeatureSchema], problems: Problems) -> None:
    seen: set[tuple[str, str]] = set()
    for feature in found:
        # Tools and top classifications share one set of names: exports address a feature by its name alone.
        siblings = "top" if feature.depth == 1 else feature.pointer.rpartition("/")[0]
        key = (siblings, feature.name.strip().casefold())
        if not key[1]:
            problems.add(
                f"{feature.pointer}/name",
                "empty_name",
                "a name needs at least one visible character",
            )
        if key in seen:
            problems.add(
                f"{feature.pointer}/name",
                "duplicate_name",
                f"{feature.name!r} is already used beside it",
            )
        seen.add(key)
        if feature.depth > MAX_DEPTH:
            problems.add(
                feature.pointer,
                "nested_too_deep",
                f"at most {MAX_DEPTH} levels are allowed",
            )


def _check_options(ontology: Ontology, problems: Problems) -> None:
    for pointer, node in _classifications(ontology):
        if node.type == "free_text" and node.options:
            problems.add(
                f"{pointer}/options",
                "options_not_allowed",
                "a free text has no options",
            )
        if node.type != "free_text" and not node.options:
            problems.add(
                f"{pointer}/options",
                "options_missing",
                f"a {node.type} needs at least one option",
            )


def _check_ids(found: Sequence[FeatureSchema], known: Sequence[FeatureSchema], problems: Problems) -> None:
    earlier = {feature.id: feature for feature in known}
    seen: set[UUID] = set()
    for feature in found:
        if feature.id is None:
            continue
        if feature.id in seen:
            problems.add(
                f"{feature.pointer}/id",
                "duplicate_id",
                "the same id stands on two nodes",
            )
        seen.add(feature.id)
        before = earlier.get(feature.id)
        if before is None:
            problems.add(
                f"{feature.pointer}/id",
                "unknown_id",
                "no earlier version has this id; leave it out for a new node",
            )
        elif (before.node, before.type) != (feature.node, feature.type):
            problems.add(
                feature.pointer,
                "kind_changed",
                f"it was a {before.type or before.node}; add a new node instead",
            )
        elif before.parent_id != feature.parent_id:
            problems.add(
                feature.pointer,
                "parent_changed",
                "a node stays under its parent; add a new node instead",
            )


def _classifications(ontology: Ontology) -> Iterator[tuple[str, Classification]]:
    def below(nodes: Sequence[Classification], pointer: str) -> Iterator[tuple[str, Classification]]:
        for index, node in enumerate(nodes):
            here = f"{pointer}/{index}"
            yield here, node
            for option_index, option in enumerate(node.options):
                yield from below(
                    option.classifications,
                    f"{here}/options/{option_index}/classifications",
                )

    for index, tool in enumerate(ontology.tools):
        yield from below(tool.classifications, f"/tools/{index}/classifications")
    yield from below(ontology.classifications, "/classifications")


def _tool_with_ids(tool: Tool) -> Tool:
    children = tuple(_classification_with_ids(child) for child in tool.classifications)
    return tool.model_copy(update={"id": tool.id or new_id(), "classifications": children})


def _classification_with_ids(node: Classification) -> Classification:
    options = tuple(
        option.model_copy(
            update={
                "id": option.id or new_id(),
                "classifications": tuple(_classification_with_ids(child) for child in option.classifications),
            }
        )
        for option in node.options
    )
    return node.model_copy(update={"id": node.id or new_id(), "options": options})
