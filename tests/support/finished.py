"""Finished runs of any size straight in the tables, as workers would have left them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from services.api.projections.reproject import Projector
from shared.alignment import Alignment, AlignmentEntry, Target
from shared.annotations import FeatureType
from shared.database.unit_of_work import unit_of_work
from shared.ids import new_id
from shared.signals import Signals
from tests.support.cards import built, card
from tests.support.runs import add_model
from tests.support.world import World

CLASSES = tuple(f"class-{number}" for number in range(10))
MODEL = built(card("ten-classes", "bounding_box", CLASSES))

_ROWS = text("""
    INSERT INTO data_rows (id, workspace_id, project_id, global_key)
    SELECT gen_random_uuid(), :workspace, :project, CAST(CAST(:run AS uuid) AS text) || '-' || n
    FROM generate_series(1, :rows) n
""")
_OUTCOMES = text("""
    INSERT INTO row_outcomes (model_run_id, data_row_id, workspace_id, execution, state, attempts, detections)
    SELECT :run, id, :workspace, 1, 'succeeded', 1, :each FROM data_rows
    WHERE project_id = :project AND global_key LIKE CAST(CAST(:run AS uuid) AS text) || '-%'
""")
# Confidences from the floor to 1, a different one for each, the same in every database.
_DETECTIONS = text("""
    INSERT INTO detections
        (model_run_id, data_row_id, ordinal, workspace_id, model_class, confidence, area, annotation)
    SELECT :run, r.data_row_id, d.ordinal, :workspace, 'class-' || (d.ordinal + r.n) % 10,
           0.05 + 0.95 * ((r.n * 7919 + d.ordinal * 104729) % 9973) / 9973.0, 200,
           jsonb_build_object('kind', 'bounding_box', 'left', d.ordinal, 'top', 2, 'width', 10, 'height', 20)
    FROM (SELECT data_row_id, row_number() OVER (ORDER BY data_row_id) AS n FROM row_outcomes
          WHERE model_run_id = :run) r,
         generate_series(0, :each - 1) AS d(ordinal)
""")


@dataclass(frozen=True)
class Features:
    """One box tool a class, by the class's name."""

    ids: dict[str, UUID]

    @classmethod
    def new(cls) -> "Features":
        return cls({name: new_id() for name in CLASSES})

    def entries(self, threshold: float, classes: int = len(CLASSES)) -> tuple[AlignmentEntry, ...]:
        return tuple(
            AlignmentEntry(
                model_class=name,
                target=Target(feature_schema_id=self.ids[name]),
                target_type=FeatureType.BOUNDING_BOX,
                threshold=threshold,
            )
            for name in CLASSES[:classes]
        )


async def add_finished_run(
    world: World, signals: Signals, features: Features, *, rows: int, each: int = 10, threshold: float = 0.5
) -> UUID:
    """A completed run over so many new data rows, each with so many boxes of ten classes."""
    model_id = await add_model(world.sessions, MODEL.card)
    run_id = await world.start_run(MODEL, model_id, [], entries=features.entries(threshold))
    given = {
        "workspace": world.workspace_id,
        "project": world.project_id,
        "run": run_id,
        "rows": rows,
        "each": each,
    }
    async with unit_of_work(world.sessions, signals, "service:test") as work:
        for statement in (_ROWS, _OUTCOMES, _DETECTIONS):
            await work.session.execute(statement, {name: given[name] for name in given if f":{name}" in statement.text})
        await work.session.execute(
            text("""
                UPDATE model_runs SET state = 'completed', total = :rows, succeeded = :rows, detections = :all,
                    finished_at = now() WHERE id = :run
            """),
            {"rows": rows, "all": rows * each, "run": run_id},
        )
    async with unit_of_work(world.sessions, signals, "service:test") as work:
        run = await world.run(run_id)
        projector = Projector(work.session, run, Alignment(version=1, entries=features.entries(threshold)))
        last = None
        while (step := await projector.project(last)) is not None:
            last, _ = step
    return run_id
