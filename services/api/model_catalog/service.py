"""The catalog beside a project: which model fits, and how its classes meet the ontology."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.model_catalog import queries
from services.api.model_catalog.criteria import criterion_texts
from services.api.model_catalog.name_embeddings import NameCollector, find_meanings
from services.api.model_catalog.ranking import Compatibility, Needs, Offer, compare, ranked
from services.api.model_catalog.schemas import SuggestedAlignmentAnswer, suggested_entries, uncovered_features
from services.api.model_catalog.suggest import SuggestedAlignment, suggest
from services.api.projects.queries import feature_of, find_ontology, get_project, list_features
from services.api.resources import OpenWork
from shared.database.tables import CatalogModelRow, ProjectRow
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema, Ontology


async def rank_models(
    session: AsyncSession, principal: Principal, project_id: UUID
) -> list[tuple[CatalogModelRow, Compatibility]]:
    """Every visible model, those that need the least set-up first. By names alone: it waits for no embeddings."""
    project = await get_project(session, principal.workspace_id, project_id)
    needs = Needs(project.media_type, await present_features(session, project))
    rows = await queries.list_models_to_rank(session, principal.workspace_id)
    offers = [(row, offer_of(row)) for row in rows]
    return ranked((row, offer, compare(offer, needs)) for row, offer in offers)


@dataclass(frozen=True, slots=True)
class ByName:
    """What names alone suggest, and the names they leave over."""

    ontology_version: int
    card: ModelCard
    features: Sequence[FeatureSchema]
    found: SuggestedAlignment
    criteria: dict[str, str]
    left: Set[str]


async def suggest_by_name(session: AsyncSession, principal: Principal, project_id: UUID, model_id: UUID) -> ByName:
    project = await get_project(session, principal.workspace_id, project_id)
    card = ModelCard.model_validate((await queries.get_model(session, principal.workspace_id, model_id)).card)
    features = await present_features(session, project)
    left = NameCollector(set())
    found = suggest(card, features, left)
    criteria = await _criteria(session, project, card, found)
    return ByName(project.ontology_version, card, features, found, criteria, left.names)


async def suggest_alignment(
    works: OpenWork, principal: Principal, project_id: UUID, model_id: UUID
) -> SuggestedAlignmentAnswer:
    """Names that nothing surer brings together are compared by meaning, where their embeddings come in time."""
    async with works() as work:
        by_name = await suggest_by_name(work.session, principal, project_id, model_id)
    embeddings, meanings = await find_meanings(works, principal.workspace_id, by_name.left)
    card, found = by_name.card, by_name.found
    if embeddings == "used":
        found = suggest(card, by_name.features, meanings.alike)
    return SuggestedAlignmentAnswer(
        model_id=model_id,
        project_id=project_id,
        ontology_version=by_name.ontology_version,
        threshold=card.default_threshold,
        floor=card.floor,
        embeddings=embeddings,
        entries=suggested_entries(card, found),
        criteria=by_name.criteria,
        unmapped_model_classes=list(found.unmapped_classes),
        uncovered_features=uncovered_features(found),
    )


async def _criteria(
    session: AsyncSession, project: ProjectRow, card: ModelCard, found: SuggestedAlignment
) -> dict[str, str]:
    if not card.open_ended:
        return {}
    row = await find_ontology(session, project)
    classifications = Ontology.model_validate(row.tree).classifications if row else ()
    instructions = {one.id: one.instructions.strip() for one in classifications if one.id is not None}
    return criterion_texts(card.media_type, [(e.model_class, e.slot) for e in found.entries], instructions)


async def present_features(session: AsyncSession, project: ProjectRow) -> Sequence[FeatureSchema]:
    """The nodes of the newest ontology, in the order they were made."""
    rows = await list_features(session, project)
    return [feature_of(row) for row in sorted(rows, key=lambda row: row.id) if row.removed_in_version is None]


def offer_of(row: CatalogModelRow) -> Offer:
    return Offer(ModelCard.model_validate(row.card), row.state, row.state_reason)
