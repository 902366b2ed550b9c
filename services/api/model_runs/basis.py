"""What a submitted run or preview stands on: the project as it is, and a model that may run there."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.model_catalog.queries import find_model, hold_model
from services.api.model_catalog.ranking import Needs, compare
from services.api.model_catalog.service import offer_of
from services.api.model_runs.checks import Ground
from services.api.projects.queries import feature_of, list_features
from shared.contracts.event import RunPurpose
from shared.database.tables import CatalogModelRow, ModelRunRow, ProjectRow
from shared.errors import Conflict, Problems
from shared.ids import new_id
from shared.model_card import ModelCard, triton_name
from shared.ontology import FeatureSchema
from shared.run_configuration import RunConfiguration
from shared.served_at import Pin, ServedAt
from shared.tracing import traceparent


@dataclass(frozen=True, slots=True)
class Basis:
    project: ProjectRow
    model: CatalogModelRow
    ground: Ground

    def configuration(self, **wanted: Any) -> RunConfiguration:
        """Frozen now: the model and the ontology as they are, with what else was asked."""
        model, card = self.model, self.ground.card
        return RunConfiguration(
            catalog_model_id=model.id,
            digest=model.digest,
            triton_model=triton_name(model.slug, model.digest),
            served_at=ServedAt.model_validate(model.served_at) if model.served_at else None,
            pin=Pin.model_validate(model.pin) if model.pin else None,
            card=card,
            floor=card.floor,
            ontology_version=self.project.ontology_version,
            **wanted,
        )

    def new_run(
        self, principal: Principal, purpose: RunPurpose, name: str, configuration: RunConfiguration
    ) -> ModelRunRow:
        """Queued, with the first version of its alignment."""
        return ModelRunRow(
            id=new_id(),
            workspace_id=self.project.workspace_id,
            project_id=self.project.id,
            catalog_model_id=self.model.id,
            purpose=purpose,
            name=name.strip() or self.model.name,
            state="queued",
            execution=1,
            alignment_version=1,
            configuration=configuration.model_dump(mode="json"),
            priority=3,
            total=0,
            created_by=principal.member_id,
            traceparent=traceparent(),
        )


async def find_basis(
    session: AsyncSession, project: ProjectRow, model_id: UUID, pointer: str, problems: Problems
) -> Basis | None:
    """None beside a problem at `pointer`. Raises Conflict with the blockers of a model that cannot run here."""
    model = await find_model(session, project.workspace_id, model_id)
    if model is None:
        problems.add(pointer, "unknown_model", "the catalog has no such model")
        return None
    ground = await find_ground(session, project, ModelCard.model_validate(model.card))
    _refuse_blocked(model, project, list(ground.features.values()))
    return Basis(project, model, ground)


async def hold_basis(session: AsyncSession, basis: Basis) -> None:
    """Until commit, so that the model's files stay. Raises Conflict when it was deleted since it was looked at."""
    if await hold_model(session, basis.project.workspace_id, basis.model.id) is None:
        raise Conflict("the model was deleted", code="model_deleted")


async def find_ground(session: AsyncSession, project: ProjectRow, card: ModelCard) -> Ground:
    rows = await list_features(session, project)
    present = {row.id: feature_of(row) for row in rows if row.removed_in_version is None}
    return Ground(card, present, {row.id for row in rows} - set(present))


def _refuse_blocked(model: CatalogModelRow, project: ProjectRow, features: list[FeatureSchema]) -> None:
    blockers = compare(offer_of(model), Needs(project.media_type, features)).blockers
    if blockers:
        raise Conflict(
            "; ".join(one.detail for one in blockers),
            code="model_blocked",
            extra={"blockers": [{"code": one.code, "detail": one.detail} for one in blockers]},
        )
