"""The dashboard of one run. Metrics never name a run, so it asks PostgreSQL, as a role that may only read."""

from deploy.observability.panels import Dashboard, Panel, source

_RUN = "model_run_id = '${run}'::uuid"

RUN = Dashboard(
    uid="prelabel-run",
    title="Prelabel: a run",
    about="One run, out of PostgreSQL. Give the data source a role that may only read.",
    variables=[
        source("postgresql", "grafana-postgresql-datasource"),
        {"name": "run", "type": "textbox", "label": "run", "query": "", "current": {"text": "", "value": ""}},
    ],
    panels=[
        Panel(
            "State",
            "Its last counters, and what it waits for.",
            {
                "run": "SELECT name, purpose, state, state_reason, waiting_for, execution, total, succeeded, failed, "
                "skipped, detections, created_at, started_at, finished_at "
                "FROM model_runs WHERE id = '${run}'::uuid"
            },
            kind="table",
            source="postgresql",
            width=24,
        ),
        Panel(
            "Segments",
            "Done by state, and how often one was taken over.",
            {
                "segments": "SELECT execution, state, count(*) AS segments, sum(takeovers) AS takeovers, "
                f"sum(cardinality(data_row_ids)) AS data_rows FROM segments WHERE {_RUN} "
                "GROUP BY execution, state ORDER BY 1, 2"
            },
            kind="table",
            source="postgresql",
            width=12,
        ),
        Panel(
            "Who holds what",
            "Silent for more than ten seconds: the next idle worker takes it over.",
            {
                "leases": "SELECT ordinal, holder, extract(epoch FROM now() - heartbeat_at) AS silent_seconds, "
                f"succeeded + failed + skipped AS done, cardinality(data_row_ids) AS of FROM segments WHERE {_RUN} "
                "AND state = 'leased' ORDER BY ordinal LIMIT 100"
            },
            kind="table",
            source="postgresql",
            width=12,
        ),
        Panel(
            "Failed data rows",
            "By where and why.",
            {
                "failed": "SELECT stage, code, count(*) AS data_rows, max(detail) AS for_example FROM row_outcomes "
                f"WHERE {_RUN} AND state = 'failed' GROUP BY stage, code ORDER BY 3 DESC LIMIT 50"
            },
            kind="table",
            source="postgresql",
            width=12,
        ),
        Panel(
            "Where the time went",
            "Milliseconds of a batch in each stage, of up to 10,000 data rows.",
            {
                "stages": "SELECT stage, avg(ms) AS mean_ms, "
                "percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95_ms "
                f"FROM (SELECT timings FROM row_outcomes WHERE {_RUN} AND timings IS NOT NULL LIMIT 10000) o, "
                "LATERAL (SELECT key AS stage, value::float AS ms FROM jsonb_each_text(o.timings) "
                "WHERE key LIKE '%\\_ms') s GROUP BY stage ORDER BY stage"
            },
            kind="table",
            source="postgresql",
            width=12,
        ),
        Panel(
            "Ledger",
            "Where the detections of each class went.",
            {
                "ledger": "SELECT model_class, reason, sum(count) AS detections FROM ledger_counts "
                f"WHERE {_RUN} GROUP BY model_class, reason ORDER BY model_class, reason LIMIT 500"
            },
            kind="table",
            source="postgresql",
            width=12,
        ),
        Panel(
            "Events",
            "As they were told.",
            {
                "events": 'SELECT "offset", type, occurred_at FROM events WHERE subject_id = '
                "'${run}'::uuid AND stream_id = (SELECT project_id FROM model_runs WHERE id = '${run}'::uuid) "
                'ORDER BY "offset" DESC LIMIT 100'
            },
            kind="table",
            source="postgresql",
            width=12,
        ),
    ],
)
