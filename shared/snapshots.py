"""Reads resources for whoever shows them: the api as a GET body, the notifier beside the offset they belong to.

Each takes the caller's session, so that a snapshot and the head of its stream come from one transaction, and each
answers None for what another workspace has.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.envelope import Envelope
from shared.contracts.event import RunPurpose, RunState
from shared.contracts.events import NOTIFYING_TYPES
from shared.contracts.http import DEFAULT_PAGE_SIZE
from shared.contracts.resources import (
    ModelRun,
    ModelRunSummary,
    NamedAlignmentEntry,
    Notification,
    Notifications,
    PredictionSource,
    Preview,
    PreviewSummary,
    Project,
    RunModel,
    RunParameters,
)
from shared.contracts.run_verbs import RunVerb, allowed_verbs
from shared.database.alignments import read_alignment
from shared.database.tables import (
    EventRow,
    FeatureSchemaRow,
    ModelRunRow,
    NotificationReadRow,
    ProjectRow,
    SegmentRow,
)
from shared.database.waiting import waiting_for
from shared.page_tokens import Pager, scope_of
from shared.run_configuration import RunConfiguration

_NOTIFICATIONS_PATH = "/v1/notifications"
_PROJECT_FIELDS = set(Project.model_fields)
_COUNTED = {"done", "succeeded", "failed", "skipped", "detections"}
_RUN_FIELDS = set(ModelRunSummary.model_fields) - _COUNTED - {"allowed_verbs"}
_PREVIEW_FIELDS = set(PreviewSummary.model_fields) - _COUNTED - {"sample"}


@dataclass(frozen=True, slots=True)
class RunCounters:
    succeeded: int
    failed: int
    skipped: int
    detections: int

    @property
    def done(self) -> int:
        return self.succeeded + self.failed + self.skipped

    def shown(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _COUNTED}


async def project_snapshot(session: AsyncSession, workspace_id: UUID, project_id: UUID) -> Project | None:
    row = await session.scalar(
        select(ProjectRow).where(
            ProjectRow.id == project_id, ProjectRow.workspace_id == workspace_id, ProjectRow.deleted_at.is_(None)
        )
    )
    return Project.model_validate({name: getattr(row, name) for name in _PROJECT_FIELDS}) if row else None


async def model_run_snapshot(session: AsyncSession, workspace_id: UUID, model_run_id: UUID) -> ModelRun | None:
    """None for a preview, and for a run of a deleted project, as well."""
    wanted = _present(workspace_id).where(ModelRunRow.id == model_run_id, ModelRunRow.purpose != "preview")
    row = await session.scalar(wanted)
    return await model_run_of(session, row) if row else None


async def preview_snapshot(session: AsyncSession, workspace_id: UUID, preview_id: UUID) -> Preview | None:
    """None for a run as well."""
    wanted = _present(workspace_id).where(ModelRunRow.id == preview_id, ModelRunRow.purpose == "preview")
    row = await session.scalar(wanted)
    return await preview_of(session, row) if row else None


async def model_run_of(session: AsyncSession, row: ModelRunRow) -> ModelRun:
    configuration = RunConfiguration.model_validate(row.configuration) if row.configuration else None
    waiting, reason = await waiting_for(session, row)
    return ModelRun(
        **{**dict(summary_of(row, await run_counters(session, row))), "state_reason": reason},
        waiting_for=waiting,
        source=_source(row),
        model=run_model(configuration) if configuration else None,
        configuration=_parameters(configuration) if configuration else None,
        alignment=await named_alignment(session, row),
    )


async def preview_of(session: AsyncSession, row: ModelRunRow) -> Preview:
    configuration = RunConfiguration.model_validate(row.configuration)
    waiting, reason = await waiting_for(session, row)
    return Preview(
        **{**dict(preview_summary_of(row, await run_counters(session, row))), "state_reason": reason},
        waiting_for=waiting,
        model=run_model(configuration),
        floor=configuration.floor,
        criteria=configuration.criteria,
        ontology_version=configuration.ontology_version,
        alignment=await named_alignment(session, row),
    )


def preview_summary_of(row: ModelRunRow, counters: RunCounters) -> PreviewSummary:
    return PreviewSummary.model_validate(
        {
            **{name: getattr(row, name) for name in _PREVIEW_FIELDS},
            "sample": row.configuration["sample"],
            **counters.shown(),
        }
    )


def summary_of(row: ModelRunRow, counters: RunCounters) -> ModelRunSummary:
    return ModelRunSummary.model_validate(
        {
            **{name: getattr(row, name) for name in _RUN_FIELDS},
            **counters.shown(),
            "allowed_verbs": verbs_of(row),
        }
    )


def verbs_of(row: ModelRunRow) -> tuple[RunVerb, ...]:
    state: RunState = row.state  # type: ignore[assignment]
    purpose: RunPurpose = row.purpose  # type: ignore[assignment]
    return allowed_verbs(state, purpose, hides_pending=row.hides_pending)


async def run_counters(session: AsyncSession, row: ModelRunRow) -> RunCounters:
    """The run's own counters grow when a segment ends; what open segments have done so far is added here."""
    found = await session.execute(
        select(
            func.coalesce(func.sum(SegmentRow.succeeded), 0),
            func.coalesce(func.sum(SegmentRow.failed), 0),
            func.coalesce(func.sum(SegmentRow.skipped), 0),
            func.coalesce(func.sum(SegmentRow.detections), 0),
        ).where(SegmentRow.model_run_id == row.id, SegmentRow.state.in_(("open", "leased")))
    )
    succeeded, failed, skipped, detections = (int(count) for count in found.one())
    return RunCounters(
        row.succeeded + succeeded, row.failed + failed, row.skipped + skipped, row.detections + detections
    )


async def notifications_snapshot(
    session: AsyncSession, workspace_id: UUID, member_id: UUID, pager: Pager
) -> Notifications:
    """The first page, with the token of the next one."""
    found = await list_notifications(session, workspace_id, member_id, before=None, limit=DEFAULT_PAGE_SIZE + 1)
    items = found[:DEFAULT_PAGE_SIZE]
    scope = scope_of(workspace_id, _NOTIFICATIONS_PATH, ())
    return Notifications(
        items=items,
        next_page_token=pager.sign(scope, (items[-1].offset,)) if len(found) > len(items) else None,
        unread=await count_unread(session, workspace_id, member_id),
    )


async def list_notifications(
    session: AsyncSession, workspace_id: UUID, member_id: UUID, *, before: int | None, limit: int
) -> list[Notification]:
    """Newest first; `before` is an offset."""
    wanted = _notifications(workspace_id, member_id)
    if before is not None:
        wanted = wanted.where(EventRow.offset < before)
    found = await session.execute(wanted.order_by(EventRow.offset.desc()).limit(limit))
    return [_notification(event, read) for event, read in found]


async def count_unread(session: AsyncSession, workspace_id: UUID, member_id: UUID) -> int:
    unread = _notifications(workspace_id, member_id).where(NotificationReadRow.read_at.is_(None)).subquery()
    return await session.scalar(select(func.count()).select_from(unread)) or 0


def _notifications(workspace_id: UUID, member_id: UUID) -> Select[EventRow, NotificationReadRow]:
    return (
        select(EventRow, NotificationReadRow)
        .outerjoin(
            NotificationReadRow,
            (NotificationReadRow.event_id == EventRow.event_id) & (NotificationReadRow.member_id == member_id),
        )
        .where(EventRow.stream_id == workspace_id, EventRow.type.in_(NOTIFYING_TYPES))
    )


def _notification(event: EventRow, read: NotificationReadRow | None) -> Notification:
    envelope = Envelope.model_validate_json(event.payload)
    return Notification(
        id=envelope.id,
        offset=event.offset,
        type=envelope.type,
        subject=envelope.subject,
        occurred_at=envelope.occurred_at,
        data=envelope.data,
        read_at=read.read_at if read else None,
    )


def _present(workspace_id: UUID) -> Select[ModelRunRow]:
    """Runs and previews of projects that are not deleted."""
    return (
        select(ModelRunRow)
        .join(ProjectRow, ProjectRow.id == ModelRunRow.project_id)
        .where(ModelRunRow.workspace_id == workspace_id, ProjectRow.deleted_at.is_(None))
    )


def _source(row: ModelRunRow) -> PredictionSource | None:
    if row.source is None:
        return None
    return PredictionSource(**{name: row.source.get(name, "") for name in PredictionSource.model_fields})


def run_model(configuration: RunConfiguration) -> RunModel:
    card = configuration.card
    return RunModel(
        id=configuration.catalog_model_id,
        slug=card.slug,
        name=card.name,
        version=card.version,
        digest=configuration.digest,
    )


def _parameters(configuration: RunConfiguration) -> RunParameters:
    return RunParameters(**{name: getattr(configuration, name) for name in RunParameters.model_fields})


async def named_alignment(session: AsyncSession, row: ModelRunRow) -> tuple[NamedAlignmentEntry, ...]:
    """The entries the run is shown by, with the names their targets have now."""
    entries = (await read_alignment(session, row)).entries
    ids = {found for entry in entries for found in (entry.target.feature_schema_id, entry.target.option_id)}
    found = await session.execute(
        select(FeatureSchemaRow.id, FeatureSchemaRow.name).where(
            FeatureSchemaRow.workspace_id == row.workspace_id, FeatureSchemaRow.id.in_(ids - {None})
        )
    )
    names: dict[UUID | None, str] = {feature_id: name for feature_id, name in found}
    return tuple(
        NamedAlignmentEntry(
            **dict(entry),
            feature_name=names.get(entry.target.feature_schema_id),
            option_name=names.get(entry.target.option_id),
        )
        for entry in entries
    )
