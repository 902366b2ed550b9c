"""The dashboard of Triton and of the calls to it."""

from deploy.observability.panels import Dashboard, Panel, rate_of, source

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
        Panel("Data rows a second", "By model.", {"{{model}}": rate_of(f"nv_inference_count{_MODEL}", "model")}),
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
            {"{{model}} {{reason}}": rate_of(f"nv_inference_request_failure{_MODEL}", "model, reason")},
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
