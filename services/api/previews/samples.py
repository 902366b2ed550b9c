"""Which data rows a preview is about. Every way gives the same data rows for the same wish, however they came in."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.previews import queries
from services.api.previews.schemas import MAX_SAMPLE, SampleCreate
from services.api.previews.strata import allocate
from shared.database.tables import ProjectRow
from shared.errors import Problems
from shared.run_configuration import RunConfiguration, Sample

_BY_METHOD = ("size", "method", "field", "seed")


@dataclass(frozen=True, slots=True)
class Sampled:
    """`data_row_ids` in data row order."""

    sample: Sample
    data_row_ids: Sequence[UUID]


async def take_sample(
    session: AsyncSession, project: ProjectRow, wanted: SampleCreate, problems: Problems
) -> Sampled | None:
    """None only beside a problem."""
    before = len(problems.errors)
    _check_choice(wanted, problems)
    if len(problems.errors) > before:
        return None
    if wanted.preview_id is not None:
        return await _again(session, project, wanted.preview_id, problems)
    if wanted.data_row_ids is not None:
        return await _chosen(session, project, wanted.data_row_ids, problems)
    found = await _by_method(session, project, wanted, problems)
    if found is not None and not found.data_row_ids:
        problems.add("/sample", "no_rows", "the project has no data rows")
        return None
    return found


def _check_choice(wanted: SampleCreate, problems: Problems) -> None:
    given = wanted.model_fields_set
    for whole in ("data_row_ids", "preview_id"):
        if getattr(wanted, whole) is None:
            continue
        others = (*_BY_METHOD, "preview_id") if whole == "data_row_ids" else _BY_METHOD
        for name in others:
            if name in given and getattr(wanted, name) is not None:
                problems.add(f"/sample/{name}", f"not_with_{whole}", f"{whole} says by itself which data rows")
        return
    if wanted.method == "stratified" and wanted.field is None:
        problems.add("/sample/field", "missing", "say by which field of the metadata")
    if wanted.method != "stratified" and wanted.field is not None:
        problems.add("/sample/field", "not_with_method", f"{wanted.method} looks at no field")


async def _again(session: AsyncSession, project: ProjectRow, preview_id: UUID, problems: Problems) -> Sampled | None:
    other = await queries.find_preview(session, project.workspace_id, preview_id)
    if other is None or other.project_id != project.id:
        problems.add("/sample/preview_id", "unknown_preview", "the project has no such preview")
        return None
    sample = RunConfiguration.model_validate(other.configuration).sample
    assert sample is not None
    return Sampled(sample.model_copy(update={"preview_id": other.id}), await queries.list_sample(session, other))


async def _chosen(
    session: AsyncSession, project: ProjectRow, ids: Sequence[UUID], problems: Problems
) -> Sampled | None:
    unknown = await queries.find_unknown_rows(session, project, ids)
    for place in unknown:
        problems.add(f"/sample/data_row_ids/{place}", "unknown_data_row", "the project has no such data row")
    chosen = sorted(set(ids))
    return None if unknown else Sampled(Sample(method="chosen", size=len(chosen)), chosen)


async def _by_method(
    session: AsyncSession, project: ProjectRow, wanted: SampleCreate, problems: Problems
) -> Sampled | None:
    if wanted.method == "first":
        return Sampled(
            Sample(method="first", size=wanted.size), await queries.first_rows(session, project, wanted.size)
        )
    if wanted.method == "random":
        sample = Sample(method="random", size=wanted.size, seed=wanted.seed)
        return Sampled(sample, await queries.random_rows(session, project, wanted.size, wanted.seed))
    assert wanted.field is not None
    counts = await queries.count_strata(session, project, wanted.field, limit=MAX_SAMPLE + 1)
    if counts and set(counts) == {queries.WITHOUT}:
        problems.add("/sample/field", "unknown_field", "no data row has this field in its metadata")
        return None
    if len(counts) > wanted.size:
        many = f"more than {MAX_SAMPLE}" if len(counts) > MAX_SAMPLE else str(len(counts))
        problems.add("/sample/size", "too_many_strata", f"the field has {many} values; one data row of each is needed")
        return None
    sample = Sample(method="stratified", size=wanted.size, seed=wanted.seed, field=wanted.field)
    quotas = allocate(counts, wanted.size)
    return Sampled(sample, await queries.stratified_rows(session, project, wanted.field, quotas, wanted.seed))
