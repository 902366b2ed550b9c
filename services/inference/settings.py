"""Settings of an inference worker, from the environment."""

from typing import Literal

from pydantic import Field

from shared.settings import (
    EgressSettings,
    ObjectStoreSettings,
    OperationSettings,
    OwnModelSettings,
    SharedSettings,
    TraceSettings,
)


class InferenceSettings(
    SharedSettings, TraceSettings, ObjectStoreSettings, EgressSettings, OperationSettings, OwnModelSettings
):
    triton_url: str = Field(
        description="gRPC address of Triton, host:port, or several with commas between; all servers behind them are "
        "called in turn"
    )
    inference_host: str = Field(default="127.0.0.1", description="address health and metrics are served on")
    inference_metrics_port: int = Field(default=8002, ge=1, le=65535, description="port of health and metrics")
    inference_purpose: Literal["run", "preview"] = Field(default="run", description="which segments this worker takes")
    inference_lanes: int = Field(
        default=2, ge=1, le=16, description="segments a worker works on at once; the next may begin while one ends"
    )
    inference_batches_in_flight: int = Field(
        default=12,
        ge=1,
        le=64,
        description="batches a lane has under way for every two instances of the model; large ones are fewer, but four",
    )
    inference_content_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1024 * 1024,
        description="bytes of contents a worker holds at most between asking for them and having decoded them",
    )
    inference_content_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+(/\S*)?$",
        description="address at which Label Studio backends fetch pictures from this worker, as http://host:8002; when "
        "none, its own host and `INFERENCE_METRICS_PORT`",
    )
    label_studio_deadline_seconds: float = Field(
        default=100, gt=0, description="longest a call to a Label Studio backend may take"
    )
    inference_threads: int = Field(default=2, ge=1, le=64, description="threads that decode inputs")
    inference_transport: Literal["auto", "grpc"] = Field(
        default="auto",
        description="auto: tensors go through shared memory to a Triton that is seen to read it, over gRPC otherwise",
    )
    inference_shared_memory_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1024 * 1024,
        description="bytes of /dev/shm a worker uses at most, and never more than half of what is free there",
    )
    inference_deadline_seconds: float = Field(default=30, gt=0, description="longest a call to Triton may take")
    inference_patience_seconds: float = Field(
        default=4, gt=0, description="how long a batch waits for a Triton that is away before its segment is given back"
    )
    inference_lease_seconds: float = Field(
        default=10, gt=0, description="a worker silent for this long lost its segments"
    )
    inference_heartbeat_seconds: float = Field(default=3, gt=0, description="how often a worker says that it lives")
    inference_poll_seconds: float = Field(default=2, gt=0, description="how often an idle worker looks without a ring")
    inference_drain_seconds: float = Field(
        default=20, gt=0, description="how long a stopping worker finishes its batches"
    )
    onnx_max_ir_version: int = Field(
        default=10, ge=3, description="newest IR version of an ONNX file that the Triton server reads"
    )
    onnx_max_opset: int = Field(default=21, ge=7, description="newest ONNX opset that the Triton server reads")
    onnx_check_seconds: float = Field(default=120, gt=0, description="longest the check of an ONNX file may take")
    model_load_seconds: float = Field(default=120, gt=0, description="longest Triton may take to load a model")
