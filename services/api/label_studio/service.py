"""Prelabel as a machine learning backend of Label Studio: its tasks become data rows, a preview labels them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.exchange.vocabulary import Vocabulary
from services.api.label_studio import queries
from services.api.label_studio.regions import unmatched
from services.api.label_studio.schemas import BackendSettings, LabelStudioReady, LabelStudioSetup
from services.api.model_catalog.service import rank_models
from services.api.projects.queries import find_ontology, get_project
from shared.database.tables import CatalogModelRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, FieldError, Unprocessable
from shared.label_studio.config import LabelConfig, NoConfig, read_config
from shared.ontology import Ontology

_READY = "ready"


@dataclass(frozen=True, slots=True)
class Backend:
    """A model of the catalog as one Label Studio project uses it."""

    project: ProjectRow
    vocabulary: Vocabulary
    config: LabelConfig
    model: CatalogModelRow
    threshold: float | None

    @property
    def model_version(self) -> str:
        """Label Studio asks again only for tasks that have no prediction of this version."""
        at = "" if self.threshold is None else f" @{self.threshold:g}"
        return f"{self.model.slug} {self.model.version}{at}"


async def set_up(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: LabelStudioSetup
) -> LabelStudioReady:
    """Remembers what the Label Studio project wants. Raises Unprocessable or Conflict."""
    project = await get_project(work.session, principal.workspace_id, project_id)
    settings = wanted.extra_params or BackendSettings()
    config = read_label_config(project, wanted.config, "/schema")
    backend = await _backend(work.session, principal, project, config, settings)
    await queries.store_settings(work.session, project, wanted.project, settings)
    return LabelStudioReady(model_version=backend.model_version, unmatched_labels=unmatched(config, backend.vocabulary))


async def find_backend(
    session: AsyncSession, principal: Principal, project_id: UUID, source: str, label_config: str
) -> Backend:
    """As it was set up, on the model that is chosen now. Raises Unprocessable or Conflict."""
    project = await get_project(session, principal.workspace_id, project_id)
    settings = await queries.find_settings(session, project, source)
    config = read_label_config(project, label_config, "/label_config")
    return await _backend(session, principal, project, config, settings)


async def vocabulary_of(session: AsyncSession, project: ProjectRow) -> Vocabulary:
    row = await find_ontology(session, project)
    return Vocabulary(Ontology.model_validate(row.tree) if row else Ontology())


def read_label_config(project: ProjectRow, xml: str, pointer: str) -> LabelConfig:
    try:
        return read_config(xml, project.media_type)
    except NoConfig as error:
        wrong = FieldError(pointer, "invalid_label_config", str(error))
        raise Unprocessable(
            "the labeling configuration cannot be used", code="invalid_setup", errors=[wrong]
        ) from error


async def _backend(
    session: AsyncSession,
    principal: Principal,
    project: ProjectRow,
    config: LabelConfig,
    settings: BackendSettings,
) -> Backend:
    vocabulary = await vocabulary_of(session, project)
    words = [word for control in config.controls for word in control.words]
    if words and len(unmatched(config, vocabulary)) == len(words):
        detail = "no label of the labeling configuration is named like a feature of the project's ontology"
        raise Unprocessable(detail, code="nothing_matches")
    model = await _model(session, principal, project, settings.model)
    return Backend(project, vocabulary, config, model, settings.threshold)


async def _model(
    session: AsyncSession, principal: Principal, project: ProjectRow, named: str | None
) -> CatalogModelRow:
    ranked = await rank_models(session, principal, project.id)
    offered = [(row, fits) for row, fits in ranked if named in {None, row.slug, str(row.id)}]
    if not offered:
        wrong = FieldError("/extra_params/model", "unknown_model", f"there is no model {str(named)[:200]!r}")
        raise Unprocessable("the settings cannot be used", code="invalid_setup", errors=[wrong])
    usable = [row for row, fits in offered if row.state == _READY and not fits.blockers]
    if not usable:
        blockers = [one.detail for one in offered[0][1].blockers] or [f"it is {offered[0][0].state}"]
        raise Conflict(f"{offered[0][0].name} cannot be used: {'; '.join(blockers)}", code="model_not_usable")
    return usable[0]
