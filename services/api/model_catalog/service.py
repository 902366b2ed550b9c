"""The catalog beside a project: which model fits, and how its classes meet the ontology."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.model_catalog import queries
from services.api.model_catalog.criteria import criterion_texts
from services.api.model_catalog.ranking import Compatibility, Needs, Offer, compare, ranked
from services.api.model_catalog.schemas import SuggestedAlignmentAnswer, suggested_entries, uncovered_features
from services.api.model_catalog.suggest import SuggestedAlignment, suggest
from services.api.projects.queries import feature_of, find_ontology, get_project, list_features
from shared.database.tables import CatalogModelRow, ProjectRow
from shared.model_card import ModelCard
from shared.ontology import FeatureSchema, Ontology


async def rank_models(
    session: AsyncSession, principal: Principal, project_id: UUID
) -> list[tuple[CatalogModelRow, Compatibility]]:
    """Every visible model, those that need the least set-up first."""
    project = await get_project(session, principal.workspace_id, project_id)
    needs = Needs(project.media_type, await present_features(session, project))
    rows = await queries.list_models_to_rank(session, principal.workspace_id)
    offers = [(row, offer_of(row)) for row in rows]
    return ranked((row, offer, compare(offer, needs)) for row, offer in offers)


async def suggest_alignment(
    session: AsyncSession, principal: Principal, project_id: UUID, model_id: UUID
) -> SuggestedAlignmentAnswer:
    project = await get_project(session, principal.workspace_id, project_id)
    model = await queries.get_model(session, principal.workspace_id, model_id)
    card = ModelCard.model_validate(model.card)
    found = suggest(card, await present_features(session, project))
    return SuggestedAlignmentAnswer(
        model_id=model.id,
        project_id=project.id,
        ontology_version=project.ontology_version,
        threshold=card.default_threshold,
        floor=card.floor,
        entries=suggested_entries(card, found),
        criteria=await _criteria(session, project, card, found),
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
