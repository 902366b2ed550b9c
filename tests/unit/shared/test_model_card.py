"""Model cards: what is inconsistent is refused, and the digest names exactly one version."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.model_card import BuiltModel, ModelCard, model_digest, triton_config, triton_name

CARD: dict[str, Any] = {
    "name": "Finder",
    "slug": "finder",
    "version": "1.0.0",
    "media_type": "image",
    "task": "object_detection",
    "annotation_kind": "bounding_box",
    "classes": ["cat", "dog"],
    "inputs": [{"name": "images", "datatype": "UINT8", "shape": [64, 64, 3]}],
    "outputs": [
        {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "names", "datatype": "BYTES", "shape": [-1]},
    ],
    "max_batch_size": 16,
    "preprocessing": {"kind": "letterbox", "width": 64, "height": 64},
    "decoder": {"name": "boxes", "parameters": {"nms_iou": 0.5}},
    "license": {"spdx": "Apache-2.0"},
    "source": {"package": "pypi:finder==1.0.0"},
}


FILES = {"model.onnx": b"weights"}


def card(**changes: Any) -> ModelCard:
    return ModelCard.model_validate({**CARD, **changes})


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ["cat", "cat"]},
        {"classes": []},
        {"classes": [""]},
        {"classes": ["c" * 501]},
        {"classes": ["nul\0"]},
        {"default_threshold": 0.01},
        {"default_threshold": float("nan")},
        {"floor": 1.5},
        {"media_type": "text"},
        {"preprocessing": {"kind": "plain_text"}},
        {"preprocessing": {"kind": "letterbox", "width": 64, "height": 64, "colour": 1}},
        {"preprocessing": {"kind": "fisheye"}},
        {"slug": "Upper"},
        {"slug": "../etc"},
        {"max_batch_size": 0},
        {"inputs": []},
        {"inputs": [{"name": "images", "datatype": "UINT9", "shape": [1]}]},
        {"surprise": True},
    ],
)
def test_inconsistent_cards_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        card(**wrong)


def test_the_digest_covers_all_files_and_the_card() -> None:
    digest = model_digest(card(), FILES)
    assert digest == model_digest(card(), FILES)
    others = [
        model_digest(card(), {"model.onnx": b"weights."}),
        model_digest(card(), {"other.onnx": b"weights"}),
        model_digest(card(), {**FILES, "labels.txt": b""}),
        model_digest(card(version="1.0.1"), FILES),
        model_digest(card(floor=0.06), FILES),
        model_digest(card(classes=["dog", "cat"]), FILES),
        model_digest(card(decoder={"name": "boxes", "parameters": {"nms_iou": 0.6}}), FILES),
    ]
    assert len({digest, *others}) == 8


def test_a_card_read_back_has_the_same_digest() -> None:
    again = ModelCard.model_validate_json(card().model_dump_json())
    assert model_digest(again, FILES) == model_digest(card(), FILES)


def test_each_version_is_a_triton_model_of_its_own() -> None:
    built = BuiltModel(digest=model_digest(card(), FILES), card=card())
    assert built.triton_name == triton_name("finder", built.digest) == f"finder-{built.digest[:12]}"
    with pytest.raises(ValidationError):
        BuiltModel(digest="short", card=card())


def test_triton_is_told_everything() -> None:
    built = BuiltModel(digest="ab" * 32, card=card())
    assert triton_config(built).splitlines() == [
        'name: "finder-abababababab"',
        'backend: "onnxruntime"',
        "max_batch_size: 16",
        'input [ { name: "images" data_type: TYPE_UINT8 dims: [64, 64, 3] } ]',
        'output [ { name: "boxes" data_type: TYPE_FP32 dims: [-1, 4] } ]',
        'output [ { name: "names" data_type: TYPE_STRING dims: [-1] } ]',
        "instance_group [ { count: 1 } ]",
        "dynamic_batching { preferred_batch_size: [8, 16] max_queue_delay_microseconds: 500 "
        "priority_levels: 2 default_priority_level: 2 }",
        f'parameters {{ key: "prelabel_digest" value {{ string_value: "{"ab" * 32}" }} }}',
    ]


def test_a_small_model_prefers_no_more_than_it_takes() -> None:
    built = BuiltModel(digest="ab" * 32, card=card(max_batch_size=4))
    assert "preferred_batch_size: [4]" in triton_config(built)


@pytest.mark.parametrize("name", ['im"ages', "im\\ages", "im\nages", 'x" } ] backend: "python'])
def test_names_cannot_leave_their_quotes(name: str) -> None:
    with pytest.raises(ValidationError):
        card(inputs=[{"name": name, "datatype": "UINT8", "shape": [1]}])
