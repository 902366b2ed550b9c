"""Model cards: what is inconsistent is refused, and the digest names exactly one version."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.model_card import BuiltModel, CardProblems, ModelCard, model_digest, triton_config, triton_name

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
        {"backend": "tensorrt"},
        {"inputs": [{"name": "images", "datatype": "FP32", "shape": [64, 64, 3]}]},
        {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [3, 64, 64]}]},
        {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [32, 64, 3]}]},
        {"inputs": [{"name": f"images{n}", "datatype": "UINT8", "shape": [64, 64, 3]} for n in (1, 2)]},
        {"preprocessing": {"kind": "letterbox", "width": 64, "height": 64, "pixels": {"scale": 0.5}}},
        {"preprocessing": {"kind": "letterbox", "width": 64, "height": 64, "pixels": {"std": [1, 1, 2]}}},
        {"preprocessing": {"kind": "letterbox", "width": 64, "height": 64, "pixels": {"layout": "nchw"}}},
        {
            "preprocessing": {
                "kind": "stretch",
                "width": 64,
                "height": 64,
                "pixels": {"datatype": "FP32", "std": [0, 1, 1]},
            }
        },
        {"preprocessing": {"kind": "tokenized"}},
    ],
)
def test_inconsistent_cards_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        card(**wrong)


TEXT = {"media_type": "text", "task": "text_classification", "annotation_kind": "classification"}


def tokens(name: str, datatype: str = "INT64", *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape or (-1,))}


@pytest.mark.parametrize(
    ("inputs", "preprocessing"),
    [
        ([tokens("input_ids")], {}),
        ([tokens("input_ids"), tokens("mask")], {}),
        ([tokens("input_ids"), tokens("attention_mask"), tokens("token_type_ids")], {}),
        ([tokens("input_ids"), tokens("attention_mask", "FP32")], {}),
        ([tokens("input_ids"), tokens("attention_mask", "INT64", -1, -1)], {}),
        ([tokens("input_ids"), tokens("attention_mask", "INT64", 512)], {}),
        ([tokens("input_ids", "INT64", 128), tokens("attention_mask", "INT64", 128)], {}),
        ([tokens("input_ids"), tokens("attention_mask")], {"tokenizer": "vocab.txt"}),
    ],
)
def test_a_tokenizer_fills_the_inputs_there_are(inputs: list[Any], preprocessing: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        card(**TEXT, inputs=inputs, preprocessing={"kind": "tokenized", **preprocessing})


def test_token_inputs_may_have_any_length_and_names() -> None:
    free = card(**TEXT, inputs=[tokens("ids"), tokens("mask")], preprocessing=_tokenized("ids", "mask"))
    fixed = card(**TEXT, inputs=[tokens("ids", "INT32", 512)], preprocessing=_tokenized("ids", None))
    assert (free.inputs[0].shape, fixed.inputs[0].shape) == ((-1,), (512,))


def _tokenized(ids: str, mask: str | None) -> dict[str, Any]:
    return {"kind": "tokenized", "ids": ids, "attention_mask": mask}


def test_a_picture_may_meet_a_free_axis() -> None:
    pixels = {"datatype": "FP32", "layout": "nchw"}
    how = {"kind": "stretch", "width": 32, "height": 64, "pixels": pixels}
    found = card(inputs=[{"name": "x", "datatype": "FP32", "shape": [3, -1, -1]}], preprocessing=how)
    assert found.preprocessing.problem(found.inputs) is None


def test_only_a_decoder_of_criteria_needs_no_classes() -> None:
    open_ended = card(classes=[], decoder={"name": "embeddings"})
    assert open_ended.open_ended
    assert not card().open_ended


def test_triton_is_told_another_backend() -> None:
    assert 'backend: "python"' in triton_config(BuiltModel(digest="ab" * 32, card=card(backend="python")))


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
        "dynamic_batching { preferred_batch_size: [8, 16] max_queue_delay_microseconds: 500 }",
        f'parameters {{ key: "prelabel_digest" value {{ string_value: "{"ab" * 32}" }} }}',
    ]


def test_a_small_model_prefers_no_more_than_it_takes() -> None:
    built = BuiltModel(digest="ab" * 32, card=card(max_batch_size=4))
    assert "preferred_batch_size: [4]" in triton_config(built)


@pytest.mark.parametrize("name", ['im"ages', "im\\ages", "im\nages", 'x" } ] backend: "python'])
def test_names_cannot_leave_their_quotes(name: str) -> None:
    with pytest.raises(ValidationError):
        card(inputs=[{"name": name, "datatype": "UINT8", "shape": [1]}])


def test_a_fixed_batch_axis_stands_in_the_dims_and_batches_nothing() -> None:
    built = BuiltModel(digest="ab" * 32, card=card(batch_axis="one", max_batch_size=1))
    config = triton_config(built)
    assert "max_batch_size: 0" in config
    assert 'input [ { name: "images" data_type: TYPE_UINT8 dims: [1, 64, 64, 3] } ]' in config
    assert "dynamic_batching" not in config
    with pytest.raises(ValidationError, match="one row a call"):
        card(batch_axis="one")


def test_everything_that_does_not_fit_together_is_said_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        card(default_threshold=0.01, classes=["a", "a"], batch_axis="one")
    cause = caught.value.errors()[0]["ctx"]["error"]
    assert isinstance(cause, CardProblems)
    assert [error.pointer for error in cause.errors] == ["/classes", "/default_threshold", "/max_batch_size"]
