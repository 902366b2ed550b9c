"""Events about what people decide. Named in `shared.contracts.events`."""

from uuid import UUID

from shared.contracts.event import ProjectEvent


class DataRowDecided(ProjectEvent):
    """`added`, `deleted` and `undone` count what people did without a pre-label, or took back."""

    type = "data_row.decided"
    subject_kind = "data_row"

    data_row_id: UUID
    revision: int
    accepted: int
    rejected: int
    edited: int = 0
    added: int = 0
    deleted: int = 0
    undone: int = 0


class DataRowSubmitted(ProjectEvent):
    """Its review is done."""

    type = "data_row.submitted"
    subject_kind = "data_row"

    data_row_id: UUID
    revision: int


class DataRowReopened(ProjectEvent):
    type = "data_row.reopened"
    subject_kind = "data_row"

    data_row_id: UUID
    revision: int


class BulkDecided(ProjectEvent):
    """Pre-labels were accepted or rejected by their run, class and confidence; one event for all of them."""

    type = "decisions.bulk_decided"
    subject_kind = "operation"
    notifies = True

    operation_id: UUID
    accepted: int
    rejected: int
    data_rows: int


class BulkUndone(ProjectEvent):
    """A bulk was taken back where nobody has changed anything since; `kept` counts the decisions that stand."""

    type = "decisions.bulk_undone"
    subject_kind = "operation"
    notifies = True

    operation_id: UUID
    undone: int
    kept: int
