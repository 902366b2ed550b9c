"""Which pre-labels of some data rows a bulk decides, and what it passes over."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.pre_labels import PreLabelFilter
from services.api.model_runs.view import View, Viewed
from services.api.projects.queries import feature_of, list_features
from services.api.review import bulk_queries
from services.api.review.bulk_queries import HeldReview
from services.api.review.bulk_schemas import BulkCounts, BulkWork, Skip
from services.api.review.changes import Change, shown
from services.api.review.proof import Proven
from services.api.review.settled import Claim, Settled
from shared.database.tables import ModelRunRow, ProjectRow
from shared.errors import Conflict, NotFound
from shared.ontology import FeatureSchema
from shared.pre_label_id import PreLabelId

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Ground:
    """What a bulk is decided on; `names` are those of features, removed ones too."""

    project: ProjectRow
    run: ModelRunRow
    features: Mapping[UUID, FeatureSchema]
    names: Mapping[UUID | None, str]


@dataclass
class Plan:
    """`last` is the last data row looked at; None at the end. What is decided, by data row."""

    last: UUID | None
    looked: int
    changes: dict[UUID, list[Change]] = field(default_factory=dict)
    reviews: dict[UUID, HeldReview] = field(default_factory=dict)
    skipped: Counter[Skip] = field(default_factory=Counter)

    def add_to(self, counts: BulkCounts) -> BulkCounts:
        skipped = Counter(counts.skipped)
        skipped.update(self.skipped)
        return BulkCounts(
            pre_labels=counts.pre_labels + sum(map(len, self.changes.values())),
            data_rows=counts.data_rows + len(self.changes),
            skipped=dict(skipped),
        )


async def count_rows(session: AsyncSession, project: ProjectRow, asked: BulkWork, member_id: UUID) -> BulkCounts:
    """All of the run, changing and holding nothing."""
    counts, work = BulkCounts(), asked
    while True:
        ground = await lay_ground(session, project, work, hold=False)
        plan = await make_plan(session, ground, work, member_id)
        if plan.last is None:
            return counts
        counts, work = plan.add_to(counts), work.model_copy(update={"last": plan.last})


async def lay_ground(session: AsyncSession, project: ProjectRow, work: BulkWork, *, hold: bool) -> Ground:
    """Raises Conflict when the run is shown otherwise than when the bulk was asked for."""
    run = await bulk_queries.find_run(session, project, work.model_run_id, hold=hold)
    if run is None:
        raise NotFound("the run is gone")
    if run.alignment_version != work.alignment_version or run.hides_pending:
        raise Conflict("the run is shown by another alignment now, or not any more", code="run_changed")
    rows = await list_features(session, project)
    features = {row.id: feature_of(row) for row in rows if row.removed_in_version is None}
    return Ground(project, run, features, {row.id: row.name for row in rows})


async def make_plan(session: AsyncSession, ground: Ground, work: BulkWork, member_id: UUID) -> Plan:
    """Of the next data rows. Unless it is a dry run, the reviews of those that are decided are held."""
    ids = await bulk_queries.list_shown(session, ground.run, work.last, ROWS_AT_ONCE)
    plan = Plan(ids[-1] if ids else None, len(ids))
    view = await View.of(session, ground.run)
    wanted = _wanted(work, await view.look(ids))
    if not wanted:
        return plan
    if not work.dry_run:
        await bulk_queries.begin_reviews(session, ground.project, list(wanted))
    reviews = await bulk_queries.hold_reviews(session, ground.project, list(wanted), hold=not work.dry_run)
    free = [row for row in wanted if not _skips(plan, work, member_id, row, reviews.get(row))]
    if not work.dry_run:
        # Looked at again: what was decided until the review was held is not pending any more.
        wanted = _wanted(work, await view.look(free))
    labels = await _labels(session, ground, free) if work.action == "accept" else {}
    for row in free:
        claimed = {claim for label in labels.get(row, ()) for claim in label.claims()}
        changes = [_change(ground, row, one, work) for one in wanted.get(row, ())]
        if possible := _possible(changes, claimed, ground.features.keys(), plan):
            plan.changes[row] = possible
    plan.reviews = reviews
    return plan


def _wanted(work: BulkWork, looked: Mapping[UUID, Sequence[Viewed]]) -> dict[UUID, list[Viewed]]:
    asked = PreLabelFilter(
        feature_schema_id=work.feature_schema_id,
        model_class=work.model_class,
        state="pending",
        confidence_min=work.confidence_min,
        confidence_max=work.confidence_max,
    )
    found = {row: [one for one in viewed if asked.holds(one.pre_label, one.state)] for row, viewed in looked.items()}
    return {row: viewed for row, viewed in found.items() if viewed}


def _skips(plan: Plan, work: BulkWork, member_id: UUID, row: UUID, held: HeldReview | None) -> bool:
    """Whether somebody is or was at this data row, in which case a bulk leaves it to them."""
    if held is None:
        reason: Skip | None = None if work.dry_run else "busy"
    elif held.review.state != "open":
        reason = "submitted"
    elif held.is_reserved and held.review.reserved_by != member_id:
        reason = "reserved"
    elif held.review.revision and held.review.updated_at > work.requested_at:
        reason = "changed"
    else:
        reason = None
    if reason is not None:
        plan.skipped[reason] += 1
    return reason is not None


async def _labels(session: AsyncSession, ground: Ground, ids: Sequence[UUID]) -> dict[UUID, list[Settled]]:
    found: defaultdict[UUID, list[Settled]] = defaultdict(list)
    for label in await bulk_queries.list_labels_on(session, ground.project, ids):
        found[label.data_row_id].append(Settled.of_label(label))
    return found


def _change(ground: Ground, row: UUID, one: Viewed, work: BulkWork) -> Change:
    proven = Proven(PreLabelId(ground.run.id, row, *one.place), ground.run, one.pre_label, decided=False)
    return Change(work.action, seen=proven, made=shown(proven) if work.action == "accept" else None)


def _possible(changes: Sequence[Change], claimed: set[Claim], features: Set[UUID], plan: Plan) -> list[Change]:
    """Without those whose label the data row cannot have: the answer is given, or the ontology lost the feature."""
    found = []
    for change in changes:
        made = change.made
        if made is not None and (not made.named() <= features or made.claims() & claimed):
            plan.skipped["conflict"] += 1
            continue
        claimed |= made.claims() if made else set()
        found.append(change)
    return found
