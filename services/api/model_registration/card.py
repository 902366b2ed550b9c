"""A model card as it was sent: everything wrong with it at once, by pointer into it."""

import json
from typing import Any

from pydantic import ValidationError

from services.api.pointers import field_errors
from services.api.values import check_values
from shared.errors import FieldError, Malformed, Unprocessable
from shared.model_card import ModelCard
from shared.preprocessing import Tokenized


def read_card(content: bytes) -> ModelCard:
    """The names of its classes may follow from elsewhere. Raises Malformed or Unprocessable."""
    check_values(content)
    try:
        sent = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Malformed("the card is not JSON", code="malformed_json") from error
    try:
        card = ModelCard.model_validate(_with_origin(sent))
    except ValidationError as error:
        raise refused(field_errors(error.errors(), sent)) from error
    if card.backend != "onnxruntime":
        raise refused([FieldError("/backend", "backend_not_supported", "a model of one's own is an ONNX file")])
    return card


def refused(errors: list[FieldError]) -> Unprocessable:
    return Unprocessable("the card cannot be used like this", code="invalid_card", errors=errors)


def needs_tokenizer(card: ModelCard) -> bool:
    return isinstance(card.preprocessing, Tokenized)


def _with_origin(sent: Any) -> Any:
    """Where names come from is ours to say: one that was read from an answer of ours and sent again says it no more."""
    if not isinstance(sent, dict):
        return sent
    return {"classes": [], **sent, "classes_from": "card" if sent.get("classes") else None}
