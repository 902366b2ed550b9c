"""Models that a workspace brings along, as HTTP shows them."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.model_catalog.schemas import CatalogModel
from shared.model_card import License, ModelCard
from shared.served_at import Address, BackendUrl, ServedName

CARD_EXAMPLE: dict[str, Any] = {
    "name": "Helmets (YOLOv8n)",
    "slug": "helmets",
    "version": "1",
    "media_type": "image",
    "task": "object_detection",
    "annotation_kind": "bounding_box",
    "classes": ["helmet", "head"],
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [3, 640, 640]}],
    "outputs": [{"name": "output0", "datatype": "FP32", "shape": [6, 8400]}],
    "max_batch_size": 8,
    "preprocessing": {
        "kind": "letterbox",
        "width": 640,
        "height": 640,
        "fill": 114,
        "pixels": {"datatype": "FP32", "layout": "nchw", "scale": 0.00392156862745098},
    },
    "decoder": {"name": "yolo", "parameters": {"output": "output0", "layout": "v8"}},
    "license": {"spdx": "Apache-2.0"},
    "source": {"package": "our own training"},
}
LABEL_STUDIO_EXAMPLE: dict[str, Any] = {
    "url": "https://ml.example.org",
    "label_config": '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="helmet"/><Label value="head"/></RectangleLabels></View>',
    "name": "Helmets (YOLO backend)",
    "slug": "helmets-yolo",
    "version": "1",
    "license": {"spdx": "AGPL-3.0-only"},
}
_BINARY = {"type": "string", "format": "binary"}
FORM: dict[str, Any] = {
    "type": "object",
    "required": ["card", "model"],
    "properties": {
        "card": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "the model card, before `model`; without `classes` their names are read from `labels`, the "
            "metadata of the ONNX file or `config`, in this order",
        },
        "model": {**_BINARY, "description": "the ONNX file"},
        "labels": {**_BINARY, "description": "labels.txt: one class a line"},
        "tokenizer": {**_BINARY, "description": "tokenizer.json of Hugging Face, for preprocessing `tokenized`"},
        "config": {**_BINARY, "description": "config.json of Hugging Face, for its `id2label`"},
    },
}


class ForeignModelCreate(BaseModel):
    """A model on a server of others (Open Inference Protocol over gRPC) at an address the operator allowed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={
            "examples": [{"card": CARD_EXAMPLE, "address": "triton.example.org:8001", "model": "helmets"}]
        },
    )

    card: ModelCard
    address: Address
    model: ServedName = Field(description="its name on that server", examples=["helmets"])
    version: str = Field(
        default="", max_length=50, pattern=r"^[^\x00-\x1f]*$", description="empty: the server's choice"
    )


class LabelStudioModelCreate(BaseModel):
    """An ML backend of Label Studio at a URL the operator allowed. One control of the configuration is the model."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [LABEL_STUDIO_EXAMPLE]})

    url: BackendUrl
    label_config: str = Field(min_length=1, max_length=100_000, description="the configuration it is asked with")
    control: str | None = Field(default=None, max_length=200, description="its name; needed where several could be it")
    name: str = Field(min_length=1, max_length=200)
    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")
    version: str = Field(min_length=1, max_length=50)
    description: str = Field(default="", max_length=4000)
    license: License
    max_batch_size: int = Field(default=8, ge=1, le=64, description="tasks a call; 1 for a backend that answers one")
    floor: float = Field(default=0.05, ge=0, le=1)
    default_threshold: float = Field(default=0.35, ge=0, le=1)
    max_detections: int = Field(default=300, ge=1, le=10_000)
    score_if_missing: float = Field(default=1.0, ge=0, le=1, description="confidence of regions without any score")


class ModelRegistration(BaseModel):
    """The catalog entry and the operation that makes it ready."""

    model_config = ConfigDict(protected_namespaces=())

    model: CatalogModel
    operation_id: UUID
