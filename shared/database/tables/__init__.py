"""Every table, one file an aggregate. Import from here, so that the metadata is whole."""

from shared.database.tables.access import (
    KEY_SERVES,
    ApiKeyRow,
    AuditRow,
    IdempotencyKeyRow,
    MemberRow,
    WebsocketTicketRow,
    WorkspaceRow,
)
from shared.database.tables.base import Base
from shared.database.tables.catalog import CatalogModelRow, NameEmbeddingRow
from shared.database.tables.data_rows import (
    BatchDataRowRow,
    BatchRow,
    DataRowContentRow,
    DataRowRow,
    UnusedObjectRow,
)
from shared.database.tables.events import (
    EventRow,
    NotificationReadRow,
    OperationRow,
    StreamRow,
)
from shared.database.tables.label_studio import LabelStudioProjectRow
from shared.database.tables.measures import (
    PolicyAuditRow,
    PolicyRow,
    WithheldDetectionRow,
    WithheldRowRow,
    WithholdingRow,
)
from shared.database.tables.processes import ProcessRow
from shared.database.tables.projects import FeatureSchemaRow, OntologyRow, ProjectRow
from shared.database.tables.review import (
    DataRowReviewRow,
    DecisionRow,
    LabelRow,
    RowDisagreementRow,
    RunComparisonRow,
)
from shared.database.tables.runs import (
    AlignmentEntryRow,
    AlignmentRow,
    DetectionRow,
    LedgerCountRow,
    ModelRunRow,
    RowOutcomeRow,
    RowProjectionRow,
    SegmentRow,
)
from shared.database.tables.webhooks import WebhookCursorRow, WebhookDeliveryRow, WebhookRow

__all__ = [
    "KEY_SERVES",
    "AlignmentEntryRow",
    "AlignmentRow",
    "ApiKeyRow",
    "AuditRow",
    "Base",
    "BatchDataRowRow",
    "BatchRow",
    "CatalogModelRow",
    "DataRowContentRow",
    "DataRowReviewRow",
    "DataRowRow",
    "DecisionRow",
    "DetectionRow",
    "EventRow",
    "FeatureSchemaRow",
    "IdempotencyKeyRow",
    "LabelRow",
    "LabelStudioProjectRow",
    "LedgerCountRow",
    "MemberRow",
    "ModelRunRow",
    "NameEmbeddingRow",
    "NotificationReadRow",
    "OntologyRow",
    "OperationRow",
    "PolicyAuditRow",
    "PolicyRow",
    "ProcessRow",
    "ProjectRow",
    "RowDisagreementRow",
    "RowOutcomeRow",
    "RowProjectionRow",
    "RunComparisonRow",
    "SegmentRow",
    "StreamRow",
    "UnusedObjectRow",
    "WebhookCursorRow",
    "WebhookDeliveryRow",
    "WebhookRow",
    "WebsocketTicketRow",
    "WithheldDetectionRow",
    "WithheldRowRow",
    "WithholdingRow",
    "WorkspaceRow",
]
