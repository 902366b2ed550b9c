"""A project's ontology as formats need it: features by id and by name, and answers as a tree.

Names are compared as the ontology compares siblings: without regard to case and to space around them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from shared.answers import Answer, option_key
from shared.ontology import FeatureSchema, Ontology, features


@dataclass(frozen=True, slots=True)
class NestedAnswer:
    """An answer with those under its options; for a checklist by option."""

    feature: FeatureSchema
    answer: Answer
    below: Mapping[UUID, Sequence["NestedAnswer"]]


@dataclass(frozen=True)
class Vocabulary:
    """`ontology` has an id on every node. `removed` are features that only earlier versions had."""

    ontology: Ontology
    removed: Sequence[FeatureSchema] = ()

    @cached_property
    def by_id(self) -> Mapping[UUID, FeatureSchema]:
        found = [*self.removed, *features(self.ontology)]
        return {feature.id: feature for feature in found if feature.id is not None}

    @cached_property
    def top(self) -> Sequence[FeatureSchema]:
        """Tools and classifications of the whole data row, in the ontology's order."""
        return [feature for feature in features(self.ontology) if feature.is_top_level]

    @cached_property
    def _by_name(self) -> Mapping[tuple[UUID | None, str], FeatureSchema]:
        return {(one.parent_id, option_key(one.name)): one for one in features(self.ontology)}

    @cached_property
    def _children(self) -> Mapping[UUID | None, Sequence[FeatureSchema]]:
        found: defaultdict[UUID | None, list[FeatureSchema]] = defaultdict(list)
        for feature in features(self.ontology):
            found[feature.parent_id].append(feature)
        return dict(found)

    def named(self, name: str, parent_id: UUID | None = None) -> FeatureSchema | None:
        """A top feature, or a classification or option under a parent. None when there is none of this name."""
        return self._by_name.get((parent_id, option_key(name)))

    def present(self, feature_id: UUID) -> FeatureSchema | None:
        """The feature or option of this id, if the present ontology has it."""
        found = self.by_id.get(feature_id)
        return found if found is not None and self._by_name.get((found.parent_id, option_key(found.name))) else None

    def with_id(self, text: str, parent_id: UUID | None) -> FeatureSchema | None:
        """The present feature of an id as somebody sent it, if it stands under this parent."""
        try:
            found = self.present(UUID(text))
        except ValueError:
            return None
        return found if found is not None and found.parent_id == parent_id else None

    def children(self, parent_id: UUID | None) -> Sequence[FeatureSchema]:
        return self._children.get(parent_id, ())

    def name(self, feature_id: UUID) -> str:
        """As the ontology has or had it."""
        return self.by_id[feature_id].name

    def top_of(self, feature_id: UUID) -> FeatureSchema:
        """The tool or classification it stands under, or is."""
        found = self.by_id[feature_id]
        while found.parent_id is not None:
            found = self.by_id[found.parent_id]
        return found

    def nest(self, answers: Iterable[Answer], parent_id: UUID) -> list[NestedAnswer]:
        """The answers under a tool or option as the tree that their features stand in."""
        by_parent: defaultdict[UUID | None, list[Answer]] = defaultdict(list)
        for answer in answers:
            by_parent[self.by_id[answer.feature_schema_id].parent_id].append(answer)
        return self._below(by_parent, parent_id)

    def _below(self, by_parent: Mapping[UUID | None, Sequence[Answer]], parent_id: UUID) -> list[NestedAnswer]:
        return [
            NestedAnswer(
                self.by_id[answer.feature_schema_id],
                answer,
                {option: self._below(by_parent, option) for option in answer.annotation.option_ids()},
            )
            for answer in by_parent.get(parent_id, ())
        ]
