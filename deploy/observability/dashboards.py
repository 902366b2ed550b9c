"""`python -m deploy.observability.dashboards` writes the dashboards for Grafana, out of these descriptions.

Metrics never name a run, so the dashboard of one run asks PostgreSQL, as a role that may only read.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.observability.panels import Dashboard, Panel, as_json, source

FOLDER = Path(__file__).parent / "dashboards"
_RUN = "model_run_id = '${run}'::uuid"


def _quantile(quantile: float, metric: str, by: str, where: str = "") -> str:
    return f"histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket{where}[$__rate_interval])))"


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


OVERVIEW = Dashboard(
    uid="prelabel-overview",
    title="Prelabel: overview",
    about="Whether people are served, runs move and events are told.",
    variables=[source("prometheus", "prometheus")],
    panels=[
        Panel(
            "Runs and previews",
            "Stalled ones wait for Triton, a model or the object store.",
            {"{{purpose}} {{state}}": "max by (purpose, state) (prelabel_inference_runs)"},
        ),
        Panel(
            "Data rows to do",
            "Of open runs and previews.",
            {"{{purpose}}": "max by (purpose) (prelabel_inference_rows_to_do)"},
        ),
        Panel(
            "Waiting for a worker",
            "Since a run that could go on was served last.",
            {"{{purpose}}": "max by (purpose) (prelabel_inference_queue_age_seconds)"},
            unit="s",
        ),
        Panel(
            "Data rows a second",
            "By how they ended.",
            {"{{outcome}}": _rate("prelabel_inference_rows_total", "outcome")},
        ),
        Panel(
            "Failed data rows a second",
            "By stage and code; the first that rises says where to look.",
            {"{{stage}} {{code}}": _rate("prelabel_inference_failed_rows_total", "stage, code")},
        ),
        Panel(
            "Stages of a batch, 95th percentile",
            "`wait` is for a turn at the model; `store` is PostgreSQL.",
            {"{{stage}}": _quantile(0.95, "prelabel_inference_stage_seconds", "stage")},
            unit="s",
        ),
        Panel(
            "Leases",
            "Takeovers: workers died or stood still.",
            {
                "held": "sum(prelabel_inference_segments_held)",
                "takeovers in 10 min": "sum(increase(prelabel_inference_lease_takeovers_total[10m]))",
                "lost in 10 min": "sum(increase(prelabel_inference_leases_lost_total[10m]))",
            },
        ),
        Panel(
            "Requests a second",
            "Of the api, by status.",
            {"{{status}}": _rate("prelabel_api_requests_total", "status")},
            unit="reqps",
        ),
        Panel(
            "Answers of the api, 99th percentile",
            "By route.",
            {"{{method}} {{route}}": _quantile(0.99, "prelabel_api_request_seconds", "method, route")},
            unit="s",
        ),
        Panel(
            "Load of the api",
            "Refused ones were told to come again after a second.",
            {
                "under way": "sum(prelabel_api_in_flight)",
                "refused a second, {{reason}}": _rate("prelabel_api_refused_total", "reason"),
            },
        ),
        Panel(
            "Websockets",
            "Connections, and those closed since they did not read.",
            {
                "connections": "sum(prelabel_notifier_connections)",
                "subscriptions": "sum(prelabel_notifier_subscriptions)",
                "slow ones closed in 10 min": "sum(increase(prelabel_notifier_slow_clients_closed_total[10m]))",
            },
        ),
        Panel(
            "Events",
            "Told a second, and how many a look found unread.",
            {
                "told a second": "sum(rate(prelabel_notifier_events_sent_total[$__rate_interval]))",
                "unread": "max(prelabel_notifier_tail_lag_events)",
            },
        ),
        Panel(
            "Operations",
            "Attempts a second, by kind and end.",
            {"{{kind}} {{end}}": _rate("prelabel_operations_ended_total", "kind, end")},
        ),
        Panel(
            "Database",
            "Its size on disk.",
            {"bytes": "max(prelabel_operations_database_bytes)"},
            unit="bytes",
        ),
        Panel(
            "Resident memory",
            "Of each process.",
            {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~".*prelabel.*"}'},
            unit="bytes",
        ),
    ],
)

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

_MODEL = '{model=~"$model"}'
TRITON = Dashboard(
    uid="prelabel-triton",
    title="Prelabel: Triton",
    about="What Triton says of itself. Models are named <slug>-<digest>.",
    variables=[
        source("prometheus", "prometheus"),
        {
            "name": "model",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${prometheus}"},
            "query": "label_values(nv_inference_count, model)",
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ],
    panels=[
        Panel("Data rows a second", "By model.", {"{{model}}": _rate(f"nv_inference_count{_MODEL}", "model")}),
        Panel(
            "Rows a batch",
            "Far below the largest batch: workers send too little at once.",
            {
                "{{model}}": f"sum by (model) (rate(nv_inference_count{_MODEL}[$__rate_interval])) / "
                f"sum by (model) (rate(nv_inference_exec_count{_MODEL}[$__rate_interval]))"
            },
        ),
        Panel(
            "Failed requests a second",
            "By model and reason.",
            {"{{model}} {{reason}}": _rate(f"nv_inference_request_failure{_MODEL}", "model, reason")},
        ),
        Panel(
            "Waiting requests",
            "In Triton's own queue.",
            {"{{model}}": f"sum by (model) (nv_inference_pending_request_count{_MODEL})"},
        ),
        Panel(
            "Time in the queue",
            "Of a request, on average.",
            {
                "{{model}}": f"sum by (model) (rate(nv_inference_queue_duration_us{_MODEL}[$__rate_interval])) / "
                f"sum by (model) (rate(nv_inference_request_success{_MODEL}[$__rate_interval])) / 1000"
            },
            unit="ms",
        ),
        Panel(
            "Time to compute",
            "Of a batch, on average.",
            {
                "{{model}}": f"sum by (model) (rate(nv_inference_compute_infer_duration_us{_MODEL}[$__rate_interval]))"
                f" / sum by (model) (rate(nv_inference_exec_count{_MODEL}[$__rate_interval])) / 1000"
            },
            unit="ms",
        ),
        Panel(
            "GPU",
            "Share of the time it works.",
            {"{{gpu_uuid}}": "avg by (gpu_uuid) (nv_gpu_utilization)"},
            unit="percentunit",
        ),
        Panel(
            "GPU memory",
            "In use.",
            {"{{gpu_uuid}}": "max by (gpu_uuid) (nv_gpu_memory_used_bytes)"},
            unit="bytes",
        ),
        Panel(
            "Through shared memory",
            "1 while tensors go that way from a worker, 0 over gRPC.",
            {"{{instance}}": "prelabel_inference_shares_memory"},
        ),
    ],
)

DASHBOARDS: Mapping[str, Dashboard] = {"overview": OVERVIEW, "run": RUN, "triton": TRITON}
"""By the name of their file. To add one: describe it, name it here, and run this module."""


def rendered(name: str) -> str:
    return json.dumps(as_json(DASHBOARDS[name]), indent=2) + "\n"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(rendered(name))
    sys.stdout.write(f"{', '.join(DASHBOARDS)} are up to date\n")


if __name__ == "__main__":
    main()
