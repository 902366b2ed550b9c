"""Model cards for tests that run no model."""

from collections.abc import Sequence
from typing import Any

from shared.model_card import BuiltModel, ModelCard, model_digest


def card(slug: str, annotation_kind: str, classes: Sequence[str], **changes: Any) -> ModelCard:
    wanted: dict[str, Any] = {
        "name": slug.title(),
        "slug": slug,
        "version": "1.0.0",
        "media_type": "image",
        "task": "image_classification" if annotation_kind == "classification" else "object_detection",
        "annotation_kind": annotation_kind,
        "classes": tuple(classes),
        "inputs": ({"name": "images", "datatype": "UINT8", "shape": (64, 64, 3)},),
        "outputs": ({"name": "scores", "datatype": "FP32", "shape": (len(classes),)},),
        "max_batch_size": 8,
        "preprocessing": {"kind": "letterbox", "width": 64, "height": 64},
        "decoder": {"name": "boxes"},
        "license": {"spdx": "Apache-2.0"},
        "source": {"package": "tests"},
    }
    return ModelCard.model_validate({**wanted, **changes})


def built(model: ModelCard) -> BuiltModel:
    return BuiltModel(digest=model_digest(model, {"model.onnx": b"no weights"}), card=model)
