"""initial"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "399ae751f282"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PARTITIONED = ("row_outcomes", "detections")
_PARTITIONS = 16


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "occurred_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(
        "ix_audit_log_workspace_id_id",
        "audit_log",
        ["workspace_id", "id"],
        unique=False,
    )
    op.create_table(
        "catalog_models",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=True),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("card", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="loading", nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column(
            "state_changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("rows_per_second", sa.Float(precision=53), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_models")),
    )
    op.create_index(
        "uq_catalog_models_builtin_digest",
        "catalog_models",
        ["digest"],
        unique=True,
        postgresql_where=sa.text("workspace_id IS NULL"),
    )
    op.create_index(
        "uq_catalog_models_own_digest",
        "catalog_models",
        ["workspace_id", "digest"],
        unique=True,
    )
    op.create_table(
        "detections",
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("model_class", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("area", sa.Float(precision=53), nullable=True),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "annotation", postgresql.JSONB(astext_type=sa.Text()), nullable=False
        ),
        sa.PrimaryKeyConstraint(
            "model_run_id", "data_row_id", "ordinal", name=op.f("pk_detections")
        ),
        postgresql_partition_by="HASH (model_run_id)",
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "workspace_id", "method", "path", "key", name=op.f("pk_idempotency_keys")
        ),
    )
    op.create_index(
        op.f("ix_idempotency_keys_created_at"),
        "idempotency_keys",
        ["created_at"],
        unique=False,
    )
    op.create_table(
        "inference_cache",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "workspace_id", "fingerprint", name=op.f("pk_inference_cache")
        ),
    )
    op.create_table(
        "operations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column(
            "parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "progress",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index(
        "ix_operations_workspace_id_id",
        "operations",
        ["workspace_id", "id"],
        unique=False,
    )
    op.create_table(
        "row_outcomes",
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=True),
        sa.Column("execution", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("detections", sa.Integer(), server_default="0", nullable=False),
        sa.Column("timings", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "model_run_id", "data_row_id", name=op.f("pk_row_outcomes")
        ),
        postgresql_partition_by="HASH (model_run_id)",
    )
    op.create_index(
        "ix_row_outcomes_state",
        "row_outcomes",
        ["model_run_id", "state", "data_row_id"],
        unique=False,
    )
    op.create_table(
        "streams",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Uuid(), nullable=False),
        sa.Column("first_offset", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("last_offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_streams")),
    )
    op.create_index(
        op.f("ix_streams_workspace_id"), "streams", ["workspace_id"], unique=False
    )
    op.create_table(
        "websocket_tickets",
        sa.Column("ticket_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ticket_sha256", name=op.f("pk_websocket_tickets")),
    )
    op.create_index(
        op.f("ix_websocket_tickets_expires_at"),
        "websocket_tickets",
        ["expires_at"],
        unique=False,
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
    )
    op.create_table(
        "events",
        sa.Column("stream_id", sa.Uuid(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_events_stream_id")
        ),
        sa.PrimaryKeyConstraint("stream_id", "offset", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_subject",
        "events",
        ["stream_id", "subject_id", "offset"],
        unique=False,
    )
    op.create_table(
        "members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_members_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    op.create_index(
        op.f("ix_members_workspace_id"), "members", ["workspace_id"], unique=False
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("ontology_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_projects_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
    )
    op.create_index(
        "ix_projects_workspace_id_id", "projects", ["workspace_id", "id"], unique=False
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_webhooks_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(
        op.f("ix_webhooks_workspace_id"), "webhooks", ["workspace_id"], unique=False
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["member_id"], ["members.id"], name=op.f("fk_api_keys_member_id")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_api_keys_workspace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_keys_secret_sha256")),
    )
    op.create_index(
        op.f("ix_api_keys_member_id"), "api_keys", ["member_id"], unique=False
    )
    op.create_index(
        op.f("ix_api_keys_workspace_id"), "api_keys", ["workspace_id"], unique=False
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="3", nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_batches_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint(
            "project_id", "name", name=op.f("uq_batches_project_id_name")
        ),
    )
    op.create_index(
        "ix_batches_project_id_id", "batches", ["project_id", "id"], unique=False
    )
    op.create_table(
        "data_rows",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("global_key", sa.Text(), nullable=False),
        sa.Column(
            "metadata",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_data_rows_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_rows")),
        sa.UniqueConstraint(
            "project_id", "global_key", name=op.f("uq_data_rows_project_id_global_key")
        ),
    )
    op.create_index(
        "ix_data_rows_project_id_id", "data_rows", ["project_id", "id"], unique=False
    )
    op.create_table(
        "feature_schemas",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("added_in_version", sa.Integer(), nullable=False),
        sa.Column("removed_in_version", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_feature_schemas_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature_schemas")),
    )
    op.create_index(
        op.f("ix_feature_schemas_project_id"),
        "feature_schemas",
        ["project_id"],
        unique=False,
    )
    op.create_table(
        "model_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("catalog_model_id", sa.Uuid(), nullable=True),
        sa.Column("purpose", sa.Text(), server_default="run", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("execution", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "alignment_version", sa.Integer(), server_default="1", nullable=False
        ),
        sa.Column(
            "configuration", postgresql.JSONB(astext_type=sa.Text()), nullable=False
        ),
        sa.Column("source", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("priority", sa.Integer(), server_default="3", nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("detections", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "results_discarded",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["catalog_model_id"],
            ["catalog_models.id"],
            name=op.f("fk_model_runs_catalog_model_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_model_runs_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_runs")),
    )
    op.create_index(
        op.f("ix_model_runs_catalog_model_id"),
        "model_runs",
        ["catalog_model_id"],
        unique=False,
    )
    op.create_index(
        "ix_model_runs_open",
        "model_runs",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running', 'stalled')"),
    )
    op.create_index(
        "ix_model_runs_project_id_id", "model_runs", ["project_id", "id"], unique=False
    )
    op.create_table(
        "notification_reads",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column(
            "read_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["members.id"], name=op.f("fk_notification_reads_member_id")
        ),
        sa.PrimaryKeyConstraint(
            "member_id", "event_id", name=op.f("pk_notification_reads")
        ),
    )
    op.create_table(
        "ontologies",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("tree", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_ontologies_project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "version", name=op.f("pk_ontologies")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("stream_id", sa.Uuid(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name=op.f("fk_webhook_deliveries_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "uq_webhook_deliveries_event",
        "webhook_deliveries",
        ["webhook_id", "stream_id", "offset"],
        unique=True,
    )
    op.create_table(
        "alignment_entries",
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("model_class", sa.Text(), nullable=False),
        sa.Column("feature_schema_id", sa.Uuid(), nullable=False),
        sa.Column("option_id", sa.Uuid(), nullable=True),
        sa.Column("target_type", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Float(precision=53), nullable=False),
        sa.Column("when", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("min_area", sa.Float(precision=53), nullable=True),
        sa.Column("max_count", sa.Integer(), nullable=True),
        sa.Column(
            "answers",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["model_run_id"],
            ["model_runs.id"],
            name=op.f("fk_alignment_entries_model_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "model_run_id", "version", "ordinal", name=op.f("pk_alignment_entries")
        ),
    )
    op.create_table(
        "alignments",
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["model_run_id"],
            ["model_runs.id"],
            name=op.f("fk_alignments_model_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_run_id", "version", name=op.f("pk_alignments")),
    )
    op.create_table(
        "batch_data_rows",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["batches.id"],
            name=op.f("fk_batch_data_rows_batch_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["data_row_id"],
            ["data_rows.id"],
            name=op.f("fk_batch_data_rows_data_row_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "batch_id", "data_row_id", name=op.f("pk_batch_data_rows")
        ),
    )
    op.create_index(
        "ix_batch_data_rows_data_row_id",
        "batch_data_rows",
        ["data_row_id"],
        unique=False,
    )
    op.create_table(
        "data_row_contents",
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("mime_type", sa.Text(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("byte_size", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("length", sa.Integer(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(uri IS NULL) <> (text IS NULL)",
            name=op.f("ck_data_row_contents_one_source"),
        ),
        sa.ForeignKeyConstraint(
            ["data_row_id"],
            ["data_rows.id"],
            name=op.f("fk_data_row_contents_data_row_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("data_row_id", name=op.f("pk_data_row_contents")),
    )
    op.create_table(
        "data_row_reviews",
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reserved_by", sa.Uuid(), nullable=True),
        sa.Column("reserved_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["data_row_id"],
            ["data_rows.id"],
            name=op.f("fk_data_row_reviews_data_row_id"),
        ),
        sa.PrimaryKeyConstraint("data_row_id", name=op.f("pk_data_row_reviews")),
    )
    op.create_index(
        op.f("ix_data_row_reviews_project_id"),
        "data_row_reviews",
        ["project_id"],
        unique=False,
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("model_run_id", sa.Uuid(), nullable=True),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("feature_schema_id", sa.Uuid(), nullable=False),
        sa.Column("option_id", sa.Uuid(), nullable=True),
        sa.Column("shown", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("label_id", sa.Uuid(), nullable=True),
        sa.Column("undoes", sa.Uuid(), nullable=True),
        sa.Column(
            "undone", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=False),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["data_row_id"], ["data_rows.id"], name=op.f("fk_decisions_data_row_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(
        "ix_decisions_data_row_id_id", "decisions", ["data_row_id", "id"], unique=False
    )
    op.create_index(
        "ix_decisions_run", "decisions", ["model_run_id", "data_row_id"], unique=False
    )
    op.create_index(
        "uq_decisions_pre_label",
        "decisions",
        ["model_run_id", "data_row_id", "ordinal", "feature_schema_id"],
        unique=True,
        postgresql_where=sa.text("model_run_id IS NOT NULL AND NOT undone"),
    )
    op.create_table(
        "labels",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("feature_schema_id", sa.Uuid(), nullable=False),
        sa.Column(
            "annotation", postgresql.JSONB(astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "classifications",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        sa.Column(
            "provenance", postgresql.JSONB(astext_type=sa.Text()), nullable=False
        ),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["data_row_id"], ["data_rows.id"], name=op.f("fk_labels_data_row_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
    )
    op.create_index("ix_labels_data_row_id", "labels", ["data_row_id"], unique=False)
    op.create_index(
        "ix_labels_project_id_id", "labels", ["project_id", "id"], unique=False
    )
    op.create_table(
        "ledger_counts",
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("alignment_version", sa.Integer(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("model_class", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_run_id"],
            ["model_runs.id"],
            name=op.f("fk_ledger_counts_model_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "model_run_id",
            "alignment_version",
            "segment_id",
            "model_class",
            "reason",
            name=op.f("pk_ledger_counts"),
        ),
    )
    op.create_table(
        "row_projections",
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("alignment_version", sa.Integer(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("uncertainty", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_run_id"],
            ["model_runs.id"],
            name=op.f("fk_row_projections_model_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "model_run_id",
            "alignment_version",
            "data_row_id",
            name=op.f("pk_row_projections"),
        ),
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("execution", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="3", nullable=False),
        sa.Column("purpose", sa.Text(), server_default="run", nullable=False),
        sa.Column("data_row_ids", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("takeovers", sa.Integer(), server_default="0", nullable=False),
        sa.Column("suspect_data_row_id", sa.Uuid(), nullable=True),
        sa.Column("suspect_leases", sa.Integer(), server_default="0", nullable=False),
        sa.Column("succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.Integer(), server_default="0", nullable=False),
        sa.Column("detections", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_run_id"],
            ["model_runs.id"],
            name=op.f("fk_segments_model_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint(
            "model_run_id",
            "execution",
            "ordinal",
            name=op.f("uq_segments_model_run_id_execution_ordinal"),
        ),
    )
    op.create_index(
        "ix_segments_unfinished",
        "segments",
        ["model_run_id", "ordinal"],
        unique=False,
        postgresql_where=sa.text("state IN ('open', 'leased')"),
    )
    op.create_index(
        "ix_segments_leased",
        "segments",
        ["model_run_id"],
        unique=False,
        postgresql_where=sa.text("state = 'leased'"),
    )
    for table in _PARTITIONED:
        for remainder in range(_PARTITIONS):
            op.execute(
                f"CREATE TABLE {table}_part_{remainder:02d} PARTITION OF {table} "
                f"FOR VALUES WITH (MODULUS {_PARTITIONS}, REMAINDER {remainder})"
            )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(
        "ix_segments_leased",
        table_name="segments",
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.drop_index(
        "ix_segments_unfinished",
        table_name="segments",
        postgresql_where=sa.text("state IN ('open', 'leased')"),
    )
    op.drop_table("segments")
    op.drop_table("row_projections")
    op.drop_table("ledger_counts")
    op.drop_index("ix_labels_project_id_id", table_name="labels")
    op.drop_index("ix_labels_data_row_id", table_name="labels")
    op.drop_table("labels")
    op.drop_index(
        "uq_decisions_pre_label",
        table_name="decisions",
        postgresql_where=sa.text("model_run_id IS NOT NULL AND NOT undone"),
    )
    op.drop_index("ix_decisions_run", table_name="decisions")
    op.drop_index("ix_decisions_data_row_id_id", table_name="decisions")
    op.drop_table("decisions")
    op.drop_index(op.f("ix_data_row_reviews_project_id"), table_name="data_row_reviews")
    op.drop_table("data_row_reviews")
    op.drop_table("data_row_contents")
    op.drop_index("ix_batch_data_rows_data_row_id", table_name="batch_data_rows")
    op.drop_table("batch_data_rows")
    op.drop_table("alignments")
    op.drop_table("alignment_entries")
    op.drop_index("uq_webhook_deliveries_event", table_name="webhook_deliveries")
    op.drop_index(
        "ix_webhook_deliveries_due",
        table_name="webhook_deliveries",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_table("webhook_deliveries")
    op.drop_table("ontologies")
    op.drop_table("notification_reads")
    op.drop_index("ix_model_runs_project_id_id", table_name="model_runs")
    op.drop_index(
        "ix_model_runs_open",
        table_name="model_runs",
        postgresql_where=sa.text("state IN ('queued', 'running', 'stalled')"),
    )
    op.drop_index(op.f("ix_model_runs_catalog_model_id"), table_name="model_runs")
    op.drop_table("model_runs")
    op.drop_index(op.f("ix_feature_schemas_project_id"), table_name="feature_schemas")
    op.drop_table("feature_schemas")
    op.drop_index("ix_data_rows_project_id_id", table_name="data_rows")
    op.drop_table("data_rows")
    op.drop_index("ix_batches_project_id_id", table_name="batches")
    op.drop_table("batches")
    op.drop_index(op.f("ix_api_keys_workspace_id"), table_name="api_keys")
    op.drop_index(op.f("ix_api_keys_member_id"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_index(op.f("ix_webhooks_workspace_id"), table_name="webhooks")
    op.drop_table("webhooks")
    op.drop_index("ix_projects_workspace_id_id", table_name="projects")
    op.drop_table("projects")
    op.drop_index(op.f("ix_members_workspace_id"), table_name="members")
    op.drop_table("members")
    op.drop_index("ix_events_subject", table_name="events")
    op.drop_table("events")
    op.drop_table("workspaces")
    op.drop_index(
        op.f("ix_websocket_tickets_expires_at"), table_name="websocket_tickets"
    )
    op.drop_table("websocket_tickets")
    op.drop_index(op.f("ix_streams_workspace_id"), table_name="streams")
    op.drop_table("streams")
    op.drop_index("ix_row_outcomes_state", table_name="row_outcomes")
    op.drop_table("row_outcomes")
    op.drop_index("ix_operations_workspace_id_id", table_name="operations")
    op.drop_table("operations")
    op.drop_table("inference_cache")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("detections")
    op.drop_index("uq_catalog_models_own_digest", table_name="catalog_models")
    op.drop_index(
        "uq_catalog_models_builtin_digest",
        table_name="catalog_models",
        postgresql_where=sa.text("workspace_id IS NULL"),
    )
    op.drop_table("catalog_models")
    op.drop_index("ix_audit_log_workspace_id_id", table_name="audit_log")
    op.drop_table("audit_log")
