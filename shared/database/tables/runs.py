"""Model runs: what was asked, the work as leased segments, and what came out.

`row_outcomes` and `detections` are hash-partitioned by run; `detections` keeps what the model said in
its own words, and a pre-label is a view of it through the run's alignment.
"""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp

PARTITIONS = 16


class ModelRunRow(Base):
    """`configuration` is frozen at submit (`shared.run_configuration.RunConfiguration`); `undone_at` is final.

    `waiting_for` (`shared.database.waiting.Stored`) means something while the run is queued or stalled.
    `traceparent` is the request's that queued it, when traces are on.
    """

    __tablename__ = "model_runs"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    catalog_model_id: Mapped[UUID | None] = mapped_column(ForeignKey("catalog_models.id"), index=True)
    purpose: Mapped[str] = mapped_column(server_default="run")
    name: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str] = mapped_column(server_default="queued")
    state_reason: Mapped[str | None]
    waiting_for: Mapped[str | None]
    execution: Mapped[int] = mapped_column(server_default="1")
    alignment_version: Mapped[int] = mapped_column(server_default="1")
    configuration: Mapped[Json]
    source: Mapped[Json | None]
    priority: Mapped[int] = mapped_column(server_default="3")
    total: Mapped[int]
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    skipped: Mapped[int] = mapped_column(server_default="0")
    detections: Mapped[int] = mapped_column(server_default="0")
    results_discarded: Mapped[bool] = mapped_column(server_default=text("false"))
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[Timestamp | None]
    served_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    undone_at: Mapped[Timestamp | None]
    traceparent: Mapped[str | None]

    @property
    def hides_pending(self) -> bool:
        """Whether it shows only what people have decided on."""
        return self.results_discarded or self.undone_at is not None

    __table_args__ = (
        Index("ix_model_runs_project_id_id", "project_id", "id"),
        Index(
            "ix_model_runs_open",
            "state",
            postgresql_where=text("state IN ('queued', 'running', 'stalled')"),
        ),
    )


class AlignmentRow(Base):
    """A version is never updated; a change is a new version."""

    __tablename__ = "alignments"

    model_run_id: Mapped[UUID] = mapped_column(ForeignKey("model_runs.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]


class AlignmentEntryRow(Base):
    """`when_`, `conversion` and `answers` as in `shared.alignment.AlignmentEntry`; `target_type` is the feature's."""

    __tablename__ = "alignment_entries"

    model_run_id: Mapped[UUID] = mapped_column(ForeignKey("model_runs.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    model_class: Mapped[str]
    feature_schema_id: Mapped[UUID]
    option_id: Mapped[UUID | None]
    target_type: Mapped[str]
    threshold: Mapped[float]
    when_: Mapped[Json | None] = mapped_column("when")
    min_area: Mapped[float | None]
    max_count: Mapped[int | None]
    conversion: Mapped[Json | None]
    answers: Mapped[list[Json]] = mapped_column(server_default="[]")


class SegmentRow(Base):
    """The unit a worker leases. A commit proves its right by `generation`.

    `earlier_attempts`, of a retry, says by place how often each data row was tried in the executions before.
    """

    __tablename__ = "segments"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID]
    model_run_id: Mapped[UUID] = mapped_column(ForeignKey("model_runs.id", ondelete="CASCADE"))
    execution: Mapped[int]
    ordinal: Mapped[int]
    priority: Mapped[int] = mapped_column(server_default="3")
    purpose: Mapped[str] = mapped_column(server_default="run")
    data_row_ids: Mapped[list[UUID]]
    earlier_attempts: Mapped[list[int] | None]
    state: Mapped[str] = mapped_column(server_default="open")
    holder: Mapped[str | None]
    generation: Mapped[int] = mapped_column(server_default="0")
    heartbeat_at: Mapped[Timestamp | None]
    takeovers: Mapped[int] = mapped_column(server_default="0")
    suspect_data_row_id: Mapped[UUID | None]
    suspect_leases: Mapped[int] = mapped_column(server_default="0")
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    skipped: Mapped[int] = mapped_column(server_default="0")
    detections: Mapped[int] = mapped_column(server_default="0")
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]

    __table_args__ = (
        UniqueConstraint("model_run_id", "execution", "ordinal"),
        Index(
            "ix_segments_unfinished",
            "model_run_id",
            "ordinal",
            postgresql_where=text("state IN ('open', 'leased')"),
        ),
        Index("ix_segments_leased", "model_run_id", postgresql_where=text("state = 'leased'")),
    )


class RowOutcomeRow(Base):
    """Exactly one a (run, data row). `state` is succeeded, failed or skipped.

    Results of equal `fingerprint` (`shared.fingerprint`) are the same. One that was copied says which run, on which
    data row, asked the model; both may be gone.
    """

    __tablename__ = "row_outcomes"

    model_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    data_row_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    segment_id: Mapped[UUID | None]
    execution: Mapped[int]
    state: Mapped[str]
    stage: Mapped[str | None]
    code: Mapped[str | None]
    detail: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="1")
    detections: Mapped[int] = mapped_column(server_default="0")
    timings: Mapped[Json | None]
    fingerprint: Mapped[bytes | None]
    reused_from_run_id: Mapped[UUID | None]
    reused_from_row_id: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        Index("ix_row_outcomes_state", "model_run_id", "state", "data_row_id"),
        Index(
            "ix_row_outcomes_fingerprint",
            "workspace_id",
            "fingerprint",
            postgresql_where=text("fingerprint IS NOT NULL"),
        ),
        {"postgresql_partition_by": "HASH (model_run_id)"},
    )


class DetectionRow(Base):
    """What the model said. `annotation` is a `shared.annotations.Annotation`; `area` in square pixels, if any.

    `extras`, of imports, is what only one exchange format knows, by its name.
    """

    __tablename__ = "detections"

    model_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    data_row_id: Mapped[UUID] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    model_class: Mapped[str]
    confidence: Mapped[float]
    area: Mapped[float | None]
    attributes: Mapped[Json | None]
    annotation: Mapped[Json]
    extras: Mapped[Json | None]

    __table_args__ = ({"postgresql_partition_by": "HASH (model_run_id)"},)


def _queue_index(score: str) -> Index:
    return Index(
        f"ix_row_projections_{score}",
        "model_run_id",
        "alignment_version",
        score,
        "data_row_id",
        postgresql_where=text("NOT submitted"),
    )


class RowProjectionRow(Base):
    """Stored result of `shared.selection.select` for one row; can be made again at any time.

    `kept` are decided detections that this version would drop, each with its reason; `review_revision` is the review's
    when the row was looked at. `uncertainty` (of the least confident), `margin` and `entropy` order the review queue,
    and `submitted` keeps reviewed rows out of its indexes: a hint, which the queue sets right where it is not.
    """

    __tablename__ = "row_projections"

    model_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    alignment_version: Mapped[int] = mapped_column(primary_key=True)
    data_row_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    shown: Mapped[int]
    uncertainty: Mapped[float]
    margin: Mapped[float] = mapped_column(server_default="0")
    entropy: Mapped[float] = mapped_column(server_default="0")
    kept: Mapped[list[Json] | None]
    review_revision: Mapped[int] = mapped_column(server_default="0")
    submitted: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        _queue_index("uncertainty"),
        _queue_index("margin"),
        _queue_index("entropy"),
        Index(
            "ix_row_projections_kept",
            "model_run_id",
            "alignment_version",
            postgresql_where=text("kept IS NOT NULL"),
        ),
    )


class LedgerCountRow(Base):
    """Where the detections of a class went: `reason` is `shown` or why they are not."""

    __tablename__ = "ledger_counts"

    model_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    alignment_version: Mapped[int] = mapped_column(primary_key=True)
    segment_id: Mapped[UUID] = mapped_column(primary_key=True)
    model_class: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    count: Mapped[int]
