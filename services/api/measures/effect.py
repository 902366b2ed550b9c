"""What pre-labels change: submitted data rows that were drawn to get none, beside others that could have been drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.measures.bounds import Interval
from services.api.measures.final_labels import against, tallies
from services.api.measures.groups import Proportion, difference, of_clusters, of_rows, ratio_of_means
from services.api.measures.label_comparison import shown
from services.api.measures.schemas import Bounded, EffectGroup, WithholdingEffect
from services.api.previews.compare import Tally
from shared.database.tables import ModelRunRow

LEAST = 10
"""Submitted data rows in each group: fewer would tell what was found in a single one."""
MOST_ROWS = 1_000

# Both groups are of those that the draw was about: not what somebody had worked on before the run had its result, nor
# what an earlier run had shown before anything was withheld. What a policy or bulk decided was looked at by nobody, and
# what came in by an import was decided without these pre-labels.
_ROWS = text("""
    WITH fair AS (
        SELECT o.data_row_id, v.seconds, w.data_row_id IS NOT NULL AS withheld
        FROM row_outcomes o
        JOIN data_row_reviews v ON v.data_row_id = o.data_row_id
        JOIN withholdings h ON h.project_id = :project AND h.workspace_id = :workspace
        LEFT JOIN withheld_rows w ON w.data_row_id = o.data_row_id
        WHERE o.workspace_id = :workspace AND o.model_run_id = :run AND o.state = 'succeeded'
          AND v.state = 'submitted' AND v.submitted_at >= o.created_at AND v.origin IS NULL
          AND NOT EXISTS (
              SELECT 1 FROM decisions d
              WHERE d.data_row_id = o.data_row_id AND (
                  d.decided_at < o.created_at
                  OR (d.policy_id IS NOT NULL OR d.operation_id IS NOT NULL) AND NOT d.undone AND d.action <> 'undo'
              )
          )
          AND NOT EXISTS (SELECT 1 FROM labels l WHERE l.data_row_id = o.data_row_id AND l.created_at < o.created_at)
          AND NOT EXISTS (
              SELECT 1 FROM row_outcomes e JOIN model_runs r ON r.id = e.model_run_id
              WHERE r.project_id = :project AND e.data_row_id = o.data_row_id AND e.created_at < h.created_at
          )
    ), drawn AS (
        SELECT data_row_id, seconds, withheld, count(*) OVER (PARTITION BY withheld) AS every,
               row_number() OVER (PARTITION BY withheld ORDER BY md5(CAST(data_row_id AS text))) AS place
        FROM fair
    )
    SELECT data_row_id, seconds, withheld, every FROM drawn WHERE place <= :most ORDER BY place
""")


@dataclass(frozen=True, slots=True)
class _Group:
    every: int
    seconds: Sequence[float]
    rows: Sequence[Tally]

    @property
    def agreement(self) -> Proportion:
        return of_clusters([(row.same, row.same + row.only_first + row.only_second) for row in self.rows])

    @property
    def right(self) -> Proportion:
        return of_rows(sum(not row.differs for row in self.rows), len(self.rows))

    def shown(self) -> EffectGroup:
        return EffectGroup(
            data_rows=self.every,
            compared=len(self.rows),
            timed=len(self.seconds),
            mean_seconds=fmean(self.seconds) if self.seconds else None,
            median_seconds=median(self.seconds) if self.seconds else None,
            same=sum(row.same for row in self.rows),
            only_model=sum(row.only_first for row in self.rows),
            only_labels=sum(row.only_second for row in self.rows),
            agreement=shown(self.agreement),
            right_data_rows=shown(self.right),
        )


async def effect_of(session: AsyncSession, run: ModelRunRow) -> WithholdingEffect:
    of = {"workspace": run.workspace_id, "project": run.project_id, "run": run.id, "most": MOST_ROWS}
    found = (await session.execute(_ROWS, of)).all()
    sides = [[row for row in found if row.withheld is withheld] for withheld in (True, False)]
    if min(map(len, sides)) < LEAST:
        return _effect(run.id, None, None)
    side = await against(session, run)
    groups = []
    for rows, withheld in zip(sides, (True, False), strict=True):
        by_row = await tallies(session, side, [row.data_row_id for row in rows], withheld=withheld)
        seconds = [row.seconds for row in rows if row.seconds is not None]
        groups.append(_Group(rows[0].every, seconds, list(by_row.values())))
    return _effect(run.id, *groups)


def _effect(model_run_id: UUID, without: _Group | None, having: _Group | None) -> WithholdingEffect:
    if without is None or having is None:
        nothing = dict.fromkeys(("without_pre_labels", "with_pre_labels", "speed_up", "bias", "data_row_bias"))
        return WithholdingEffect(model_run_id=model_run_id, least=LEAST, **nothing)
    return WithholdingEffect(
        model_run_id=model_run_id,
        least=LEAST,
        without_pre_labels=without.shown(),
        with_pre_labels=having.shown(),
        speed_up=_bounded(ratio_of_means(without.seconds, having.seconds)),
        bias=_bounded(difference(having.agreement, without.agreement)),
        data_row_bias=_bounded(difference(having.right, without.right)),
    )


def _bounded(found: tuple[float, Interval] | None) -> Bounded | None:
    return None if found is None else Bounded(value=found[0], low=found[1].low, high=found[1].high)
