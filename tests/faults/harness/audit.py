"""Triggers that write down who held a segment and who stored outcomes for it: what tables alone cannot tell later.

Only in the database of a world. A connection says by its name which process it belongs to (`identity.py`).
"""

import asyncpg

_AUDIT = """
CREATE SCHEMA IF NOT EXISTS audit;

CREATE TABLE IF NOT EXISTS audit.stores (
    at timestamptz NOT NULL DEFAULT clock_timestamp(), transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    process text NOT NULL DEFAULT current_setting('application_name'),
    workspace_id uuid NOT NULL, model_run_id uuid NOT NULL, segment_id uuid, execution int NOT NULL, rows int NOT NULL,
    run_state text, segment_state text, generation int, holder text
);

CREATE OR REPLACE FUNCTION audit.note_stores() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.stores
        (workspace_id, model_run_id, segment_id, execution, rows, run_state, segment_state, generation, holder)
    SELECT n.workspace_id, n.model_run_id, n.segment_id, n.execution, n.rows, r.state, s.state, s.generation, s.holder
    FROM (
        SELECT workspace_id, model_run_id, segment_id, execution, count(*) AS rows FROM fresh GROUP BY 1, 2, 3, 4
    ) n
    LEFT JOIN segments s ON s.id = n.segment_id LEFT JOIN model_runs r ON r.id = n.model_run_id;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER note_stores AFTER INSERT ON row_outcomes
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION audit.note_stores();
"""


async def audit(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_AUDIT)
    finally:
        await connection.close()
