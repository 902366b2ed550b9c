"""How well a catalog model fits a project: pure, and the same for the same model and ontology."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.api.model_catalog.suggest import SuggestedAlignment, suggest
from shared.annotations import features_taking
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema

READY = "ready"
_CAN_FILL = 0.2
"""What a model is worth that fits, but whose every class must be aligned by hand."""

Ranked = TypeVar("Ranked")


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A catalog model as the ranking sees it."""

    card: ModelCard
    state: str
    state_reason: str | None


@dataclass(frozen=True, slots=True)
class Needs:
    """A project as the ranking sees it; `features` are the nodes of its present ontology."""

    media_type: str
    features: Sequence[FeatureSchema]


@dataclass(frozen=True, slots=True)
class Compatibility:
    """`score` from 0 to 1: how little has to be set up. It says nothing of how good the model is.

    `class_coverage` is the share of the ontology's fillable places that a class of the model fits by name.
    """

    score: float
    reasons: tuple[Finding, ...]
    blockers: tuple[Finding, ...]
    class_coverage: float
    state: str


def compare(offer: Offer, needs: Needs) -> Compatibility:
    suggestion = suggest(offer.card, needs.features)
    blockers = tuple(_blockers(offer, needs, suggestion))
    fits = offer.card.media_type == needs.media_type and suggestion.slots > 0
    covered = suggestion.slots - len(suggestion.uncovered)
    coverage = covered / suggestion.slots if fits else 0.0
    return Compatibility(
        score=_score(suggestion) if fits else 0.0,
        reasons=tuple(_reasons(suggestion, covered)) if fits else (),
        blockers=blockers,
        class_coverage=round(coverage, 4),
        state=offer.state,
    )


def ranked(found: Iterable[tuple[Ranked, Offer, Compatibility]]) -> list[tuple[Ranked, Compatibility]]:
    """What can be used first, then by score; names decide between equals."""
    order = sorted(found, key=lambda one: (bool(one[2].blockers), -one[2].score, one[1].card.slug, one[1].card.version))
    return [(item, compatibility) for item, _, compatibility in order]


def _blockers(offer: Offer, needs: Needs, suggestion: SuggestedAlignment) -> Iterable[Finding]:
    card = offer.card
    if card.media_type != needs.media_type:
        yield Finding("media_type", f"the model works on {card.media_type} data, the project has {needs.media_type}")
    if not suggestion.slots:
        wanted = ", ".join(sorted(features_taking(card.annotation_kind)))
        yield Finding("no_feature", f"no feature of the ontology takes what the model gives; it fills: {wanted}")
    if offer.state != READY:
        yield Finding(
            "not_ready", f"the model is {offer.state}" + (f": {offer.state_reason}" if offer.state_reason else "")
        )


def _score(suggestion: SuggestedAlignment) -> float:
    best: dict[int, float] = {}
    for entry in suggestion.entries:
        best[id(entry.slot)] = max(entry.score, best.get(id(entry.slot), 0.0))
    return round(_CAN_FILL + (1 - _CAN_FILL) * sum(best.values()) / suggestion.slots, 4)


def _reasons(suggestion: SuggestedAlignment, covered: int) -> Iterable[Finding]:
    yield Finding("fills_features", f"the model can fill {suggestion.slots} of the ontology's features and options")
    if covered:
        names = ", ".join(sorted({entry.slot.name for entry in suggestion.entries})[:5])
        yield Finding("names_match", f"{covered} of them have the name of a class, among them: {names}")
    if suggestion.uncovered:
        names = ", ".join(slot.name for slot in suggestion.uncovered[:5])
        yield Finding("names_missing", f"no class has the name of {len(suggestion.uncovered)}, among them: {names}")
    if suggestion.unfillable:
        names = ", ".join(feature.name for feature in suggestion.unfillable[:5])
        yield Finding("never_filled", f"the model never fills: {names}")
