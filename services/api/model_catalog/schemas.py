"""The catalog and what it offers a project, as HTTP shows them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.model_catalog.matches import Match
from services.api.model_catalog.name_embeddings import Embeddings
from services.api.model_catalog.ranking import Compatibility as Found
from services.api.model_catalog.slots import Slot
from services.api.model_catalog.suggest import SuggestedAlignment
from shared.alignment import Target
from shared.annotations import FeatureType
from shared.answers import EntryAnswer
from shared.conversion import Conversion
from shared.database.speeds import speed_of
from shared.database.tables import CatalogModelRow
from shared.model_card import ModelCard, Task, triton_name
from shared.ontology import FeatureSchema
from shared.preprocessing import MediaType
from shared.served_at import ServedAt as Written

ModelState = Literal["loading", "ready", "unavailable", "registering", "failed"]


class _Shown(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class ServedAt(Written):
    """`version` is empty where the server chooses. A backend of Label Studio has a labeling configuration."""

    label_config: str | None = Field(default=None, description="of an ML backend of Label Studio")


class CatalogModelSummary(_Shown):
    """A model offered for use. It never changes but for its live state; another version is another model."""

    id: UUID
    slug: str = Field(examples=["detect-nanodet"])
    name: str
    version: str
    digest: str = Field(
        description="names this very model: SHA-256 over weights and card, of one's own models over the entry's id too"
    )
    description: str
    media_type: MediaType
    task: Task
    annotation_kind: str = Field(examples=["bounding_box"])
    classes: int = Field(description="how many; their names are in the card")
    default_threshold: float
    license: str = Field(examples=["Apache-2.0"])
    built_in: bool
    served_at: ServedAt | None = Field(
        description="where a server of others has it, pinned to what that reported at registration; null for ours. "
        "`label_config` is left out of lists"
    )
    state: str = Field(examples=["ready"], description="loading, ready, unavailable, registering or failed")
    state_reason: str | None
    state_changed_at: datetime
    rows_per_second: float | None = Field(description="of one worker, measured here; null until the model has run")
    rows_per_second_deviation: float | None = Field(description="standard deviation of what was measured")
    speed_samples: int = Field(description="how many measurements that rests on, some seconds of work each")

    @classmethod
    def from_row(cls, row: CatalogModelRow) -> Self:
        return cls.model_validate(_summary(row, ModelCard.model_validate(row.card)))


class CatalogModel(CatalogModelSummary):
    """A model with its whole card."""

    card: ModelCard
    triton_model: str | None = Field(description="its name in Triton; null for a model on a server of others")

    @classmethod
    def from_row(cls, row: CatalogModelRow) -> Self:
        card = ModelCard.model_validate(row.card)
        name = None if row.served_at else triton_name(row.slug, row.digest)
        whole = {"card": card, "triton_model": name, "served_at": row.served_at or None}
        return cls.model_validate({**_summary(row, card), **whole})


class Reason(_Shown):
    code: str = Field(examples=["matched_synonym"])
    detail: str


class Compatibility(_Shown):
    """How a model fits the project. A model with a blocker cannot be run there."""

    score: float = Field(ge=0, le=1, description="how little has to be set up; 0 where the model does not fit at all")
    reasons: list[Reason]
    blockers: list[Reason]
    class_coverage: float = Field(
        ge=0, le=1, description="share of the features and options it could fill that a class means"
    )
    ontology_coverage: float = Field(
        ge=0, le=1, description="share of the whole ontology that a class means: the mean over its top features"
    )
    state: str = Field(description="the model's live state")

    @classmethod
    def of(cls, found: Found) -> Self:
        return cls(
            score=found.score,
            reasons=[Reason(code=one.code, detail=one.detail) for one in found.reasons],
            blockers=[Reason(code=one.code, detail=one.detail) for one in found.blockers],
            class_coverage=found.class_coverage,
            ontology_coverage=found.ontology_coverage,
            state=found.state,
        )


class RankedModel(CatalogModelSummary):
    compatibility: Compatibility

    @classmethod
    def of(cls, row: CatalogModelRow, found: Found) -> Self:
        card = ModelCard.model_validate(row.card)
        return cls.model_validate({**_summary(row, card), "compatibility": Compatibility.of(found)})


UncoveredReason = Literal["no_class_of_that_name", "not_given_by_model"]


class SuggestedEntry(_Shown):
    """What the alignment of a run takes as it is; names, score and reason are only told."""

    model_class: str
    target: Target
    feature_name: str
    feature_type: FeatureType
    option_name: str | None
    conversion: Conversion
    answers: tuple[EntryAnswer, ...]
    score: float = Field(ge=0, le=1)
    reason: Match


class UncoveredFeature(_Shown):
    """A place of the ontology that the suggestion leaves empty."""

    feature_schema_id: UUID
    feature_name: str
    feature_type: FeatureType
    option_id: UUID | None
    option_name: str | None
    reason: UncoveredReason


class SuggestedAlignmentAnswer(_Shown):
    """An alignment to start from, and what it leaves open."""

    model_config = ConfigDict(title="SuggestedAlignment")

    model_id: UUID
    project_id: UUID
    ontology_version: int
    threshold: float = Field(description="the card's own default, for all classes")
    floor: float = Field(description="no threshold may lie below")
    embeddings: Embeddings = Field(
        description="whether names were also compared by meaning; `pending`: their embeddings were not made in time, "
        "ask again; `unavailable`: no model embeds them; `not_needed`: nothing was left to compare"
    )
    entries: list[SuggestedEntry]
    criteria: dict[str, str] = Field(
        description="for an open-ended model: a text to begin with for each `model_class` of the entries"
    )
    unmapped_model_classes: list[str]
    uncovered_features: list[UncoveredFeature]


def suggested_entries(card: ModelCard, found: SuggestedAlignment) -> list[SuggestedEntry]:
    return [
        SuggestedEntry(
            model_class=entry.model_class,
            target=Target(feature_schema_id=_id(entry.slot.feature.id), option_id=_option_id(entry.slot)),
            feature_name=entry.slot.feature.name,
            feature_type=_type(entry.slot.feature),
            option_name=entry.slot.option.name if entry.slot.option else None,
            conversion=Conversion.of(card.annotation_kind, _type(entry.slot.feature)),
            answers=entry.answers,
            score=entry.score,
            reason=entry.reason,
        )
        for entry in found.entries
    ]


def uncovered_features(found: SuggestedAlignment) -> list[UncoveredFeature]:
    unnamed = [_uncovered(slot.feature, slot.option, "no_class_of_that_name") for slot in found.uncovered]
    return unnamed + [_uncovered(feature, None, "not_given_by_model") for feature in found.unfillable]


def _uncovered(feature: FeatureSchema, option: FeatureSchema | None, reason: UncoveredReason) -> UncoveredFeature:
    return UncoveredFeature(
        feature_schema_id=_id(feature.id),
        feature_name=feature.name,
        feature_type=_type(feature),
        option_id=option.id if option else None,
        option_name=option.name if option else None,
        reason=reason,
    )


def _summary(row: CatalogModelRow, card: ModelCard) -> dict[str, object]:
    speed = speed_of(row)
    return {
        "id": row.id,
        "slug": row.slug,
        "name": row.name,
        "version": row.version,
        "digest": row.digest,
        "description": card.description,
        "media_type": row.media_type,
        "task": row.task,
        "annotation_kind": card.annotation_kind,
        "classes": len(card.classes),
        "default_threshold": card.default_threshold,
        "license": card.license.spdx,
        "built_in": row.workspace_id is None,
        "served_at": _without_configuration(row.served_at) if row.served_at else None,
        "state": row.state,
        "state_reason": row.state_reason,
        "state_changed_at": row.state_changed_at,
        "rows_per_second": row.rows_per_second,
        "rows_per_second_deviation": speed.deviation if speed else None,
        "speed_samples": row.speed_samples,
    }


def _without_configuration(served_at: Mapping[str, object]) -> dict[str, object]:
    """In lists it would be most of the answer."""
    return {name: value for name, value in served_at.items() if name != "label_config"}


def _id(found: UUID | None) -> UUID:
    """Stored features always have one."""
    assert found is not None
    return found


def _option_id(slot: Slot) -> UUID | None:
    return slot.option.id if slot.option else None


def _type(feature: FeatureSchema) -> FeatureType:
    """Top features are tools and classifications, which have one."""
    assert feature.type is not None
    return feature.type
