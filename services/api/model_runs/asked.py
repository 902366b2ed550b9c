"""What a submitted run asks for: a model and how to use it, in the body itself or as a preview has them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.checks import Aligning, Ground, check_alignment
from services.api.model_runs.realigning import as_sent
from services.api.model_runs.schemas import ModelRunCreate
from services.api.previews.queries import find_preview
from shared.alignment import AlignmentEntry
from shared.database.alignments import read_alignment
from shared.database.tables import ProjectRow
from shared.errors import Conflict, Problems
from shared.run_configuration import RunConfiguration

_MODEL, _PREVIEW = "/model_id", "/preview_id"
_THE_PREVIEWS = ("model_id", "alignment", "threshold", "criteria")


@dataclass(frozen=True, slots=True)
class Asked:
    """`pointer` is where in the body the model is named."""

    model_id: UUID
    pointer: str
    aligning: Aligning

    def check(self, ground: Ground, problems: Problems) -> tuple[AlignmentEntry, ...]:
        if self.pointer != _PREVIEW:
            return check_alignment(self.aligning, ground, problems)
        # The body has no alignment to point into; the ontology may have changed since the preview was made.
        found = Problems()
        entries = check_alignment(self.aligning, ground, found)
        for error in found.errors:
            problems.add(_PREVIEW, error.code, f"in the preview, {error.pointer}: {error.detail}")
        return entries


async def read_asked(
    session: AsyncSession, project: ProjectRow, wanted: ModelRunCreate, problems: Problems
) -> Asked | None:
    """None only beside a problem. Raises Conflict for another version of the preview's alignment than it has now."""
    if wanted.preview_id is not None:
        return await _of_preview(session, project, wanted, problems)
    if wanted.alignment_version is not None:
        problems.add("/alignment_version", "without_preview", "only the alignment of a preview has a version to name")
    if wanted.alignment is None:
        problems.add("/alignment", "missing", "say how the model's classes meet the ontology, or name a preview")
    if wanted.model_id is None:
        problems.add(_MODEL, "missing", "name a model or a preview")
        return None
    entries = wanted.alignment.entries if wanted.alignment else ()
    return Asked(wanted.model_id, _MODEL, Aligning(entries, wanted.threshold, wanted.criteria))


async def _of_preview(
    session: AsyncSession, project: ProjectRow, wanted: ModelRunCreate, problems: Problems
) -> Asked | None:
    for name in _THE_PREVIEWS:
        if name in wanted.model_fields_set:
            problems.add(f"/{name}", "not_with_preview", "the preview has it; leave it out, or the preview")
    if wanted.alignment_version is None:
        problems.add("/alignment_version", "missing", "say which version of the preview's alignment you saw")
    assert wanted.preview_id is not None
    preview = await find_preview(session, project.workspace_id, wanted.preview_id)
    if preview is None or preview.project_id != project.id:
        problems.add(_PREVIEW, "unknown_preview", "the project has no such preview")
        return None
    if wanted.alignment_version not in {None, preview.alignment_version}:
        raise Conflict(
            f"the preview shows version {preview.alignment_version} of its alignment, not {wanted.alignment_version}",
            code="stale_alignment",
            extra={"alignment_version": preview.alignment_version},
        )
    configuration = RunConfiguration.model_validate(preview.configuration)
    entries = tuple(as_sent(entry) for entry in (await read_alignment(session, preview)).entries)
    return Asked(configuration.catalog_model_id, _PREVIEW, Aligning(entries, None, configuration.criteria))
