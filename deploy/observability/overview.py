"""The dashboard of all that happens."""

from deploy.observability.panels import Dashboard, Panel, quantile_of, rate_of, source

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
            {"{{outcome}}": rate_of("prelabel_inference_rows_total", "outcome")},
        ),
        Panel(
            "Failed data rows a second",
            "By stage and code; the first that rises says where to look.",
            {"{{stage}} {{code}}": rate_of("prelabel_inference_failed_rows_total", "stage, code")},
        ),
        Panel(
            "Stages of a batch, 95th percentile",
            "`wait` is for a turn at the model; `store` is PostgreSQL.",
            {"{{stage}}": quantile_of(0.95, "prelabel_inference_stage_seconds", "stage")},
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
            {"{{status}}": rate_of("prelabel_api_requests_total", "status")},
            unit="reqps",
        ),
        Panel(
            "Answers of the api, 99th percentile",
            "By route.",
            {"{{method}} {{route}}": quantile_of(0.99, "prelabel_api_request_seconds", "method, route")},
            unit="s",
        ),
        Panel(
            "Load of the api",
            "Refused ones were told to come again after a second.",
            {
                "under way": "sum(prelabel_api_in_flight)",
                "refused a second, {{reason}}": rate_of("prelabel_api_refused_total", "reason"),
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
            {"{{kind}} {{end}}": rate_of("prelabel_operations_ended_total", "kind, end")},
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
