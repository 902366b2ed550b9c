"""Names and decoder of a card that is registered, once the file was read."""

import json
from typing import Any

import pytest

from services.inference.registration.checks import settled_card
from services.inference.registration.onnx_file import Inspection
from services.inference.registration.refusal import ModelRefused
from shared.model_card import ModelCard
from tests.support.onnx_models import color_card

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def card(**changes: Any) -> ModelCard:
    return ModelCard.model_validate({**color_card(**changes), "classes": [], "classes_from": None})


def tokens(**parameters: Any) -> ModelCard:
    return card(
        media_type="text",
        task="named_entity_recognition",
        annotation_kind="text_entity",
        inputs=[{"name": name, "datatype": "INT64", "shape": [-1]} for name in ("input_ids", "attention_mask")],
        outputs=[{"name": "logits", "datatype": "FP32", "shape": [-1, len(LABELS)]}],
        preprocessing={"kind": "tokenized"},
        decoder={"name": "token_classification", "parameters": parameters},
    )


def test_the_names_of_a_token_classifier_are_labels_of_its_entities() -> None:
    config = json.dumps({"id2label": dict(enumerate(LABELS))}).encode()
    settled = settled_card(tokens(strategy="first"), Inspection(), {"config.json": config})
    assert (settled.classes, settled.classes_from) == (("PER", "LOC"), "id2label")
    assert settled.decoder.parameters == {"labels": LABELS, "strategy": "first"}


def test_labels_without_a_scheme_are_the_entities() -> None:
    settled = settled_card(tokens(outside="none"), Inspection(names=("none", "person", "place")), {})
    assert settled.classes == ("person", "place")


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = Inspection(problems=(("/inputs/0/shape", "wrong_shape", "another shape"),), names=("a", "b"))
    with pytest.raises(ModelRefused) as caught:
        settled_card(card(), wrong, {})
    assert [error.pointer for error in caught.value.errors] == ["/inputs/0/shape", "/outputs"]
    assert caught.value.detail.startswith("another shape; ")


@pytest.mark.parametrize(
    ("names", "code"), [(("a", "a", "b"), "duplicate_class"), (("a", "", "c"), "string_too_short")]
)
def test_names_that_no_card_can_have(names: tuple[str, ...], code: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        settled_card(card(), Inspection(names=names), {})
    assert code in {error.code for error in caught.value.errors}
    assert "/classes" in {error.pointer for error in caught.value.errors}


def test_names_that_cannot_be_read_are_a_reason() -> None:
    with pytest.raises(ModelRefused, match="neither JSON"):
        settled_card(card(), Inspection(names_problem="'names' is neither JSON nor a Python literal"), {})
