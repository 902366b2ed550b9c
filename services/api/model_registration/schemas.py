"""Models that a workspace brings along, as HTTP shows them."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.api.model_catalog.schemas import CatalogModel
from shared.model_card import ModelCard
from shared.served_at import Address, ServedName

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


class ModelRegistration(BaseModel):
    """The catalog entry and the operation that makes it ready."""

    model_config = ConfigDict(protected_namespaces=())

    model: CatalogModel
    operation_id: UUID
