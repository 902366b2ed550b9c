"""An ML backend of Label Studio as a model: its card follows from the labeling configuration that it is asked with."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from services.api.access.principal import Principal
from services.api.model_registration.schemas import LabelStudioModelCreate
from services.api.model_registration.service import REFUSED, Registered, Submission, check_room, register_model
from services.api.pointers import field_errors
from services.api.settings import ApiSettings
from shared.database.unit_of_work import UnitOfWork
from shared.errors import FieldError, Problems, Unprocessable
from shared.ids import new_id
from shared.label_studio.config import Control, LabelConfig, NoConfig, read_config
from shared.model_card import ModelCard
from shared.served_at import ServedAt, submission_of

_KINDS = {
    ("image", "rectanglelabels"): ("object_detection", "bounding_box"),
    ("image", "polygonlabels"): ("instance_segmentation", "polygon"),
    ("image", "brushlabels"): ("instance_segmentation", "mask"),
    ("image", "choices"): ("image_classification", "classification"),
    ("text", "labels"): ("named_entity_recognition", "text_entity"),
    ("text", "choices"): ("text_classification", "classification"),
}
"""Task and annotation kind by what is shown and the control that says something about it."""
_CONTENT = {"image": "encoded_image", "text": "plain_text"}
_SAID = {"/classes": "/label_config"}


@dataclass(frozen=True, slots=True)
class _Used:
    """The control that the model is, and the object it is about."""

    media_type: str
    config: LabelConfig
    control: Control


async def register(
    work: UnitOfWork, principal: Principal, wanted: LabelStudioModelCreate, settings: ApiSettings
) -> Registered:
    problems, url = Problems(), wanted.url.rstrip("/")
    if url not in {one.rstrip("/") for one in settings.allowed_label_studio_backends}:
        detail = "the operator does not allow this backend (ALLOWED_LABEL_STUDIO_BACKENDS)"
        problems.add("/url", "address_not_allowed", detail)
    problems.raise_if_any(REFUSED, code="invalid_model")
    card = _card(wanted, _used(wanted))
    await check_room(work, principal, card, settings.max_own_models)
    where = ServedAt(address=url, model=wanted.slug, label_config=wanted.label_config)
    return await register_model(
        work, principal, Submission(new_id(), card, submission_of(card, where), served_at=where)
    )


def _used(wanted: LabelStudioModelCreate) -> _Used:
    """The one control that can be a model, or the one that is named."""
    usable, reasons = [], []
    for media_type in _CONTENT:
        try:
            config = read_config(wanted.label_config, media_type)
        except NoConfig as error:
            reasons.append(str(error))
            continue
        usable += [_Used(media_type, config, one) for one in config.controls if (media_type, one.kind) in _KINDS]
    if len(reasons) == len(_CONTENT):
        raise _refused("/label_config", "invalid_label_config", "; ".join(dict.fromkeys(reasons)))
    names = [one.control.name for one in usable]
    if wanted.control is not None:
        usable = [one for one in usable if one.control.name == wanted.control]
    if len(usable) != 1:
        detail = f"name the one control that is the model; those that can be are {names}"
        raise _refused("/control", "control_not_chosen", detail)
    return usable[0]


def _card(wanted: LabelStudioModelCreate, used: _Used) -> ModelCard:
    control, shown = used.control, used.config.shown
    task, kind = _KINDS[used.media_type, control.kind]
    fields: dict[str, Any] = {
        **wanted.model_dump(exclude={"url", "label_config", "control", "score_if_missing"}),
        "media_type": used.media_type,
        "task": task,
        "annotation_kind": kind,
        "classes": control.words,
        "inputs": [{"name": "content", "datatype": "BYTES", "shape": [1]}],
        "outputs": [{"name": "prediction", "datatype": "BYTES", "shape": [1]}],
        "preprocessing": {"kind": _CONTENT[used.media_type]},
        "decoder": {
            "name": "label_studio",
            "parameters": {
                "control": control.name,
                "regions": control.kind,
                "field": shown.field,
                "score_if_missing": wanted.score_if_missing,
            },
        },
        "source": {"package": "an ML backend of Label Studio", "upstream": wanted.url},
    }
    try:
        return ModelCard.model_validate(fields)
    except ValidationError as error:
        found = field_errors(error.errors(), fields)
        errors = [FieldError(_said(one.pointer), one.code, one.detail) for one in found]
        raise Unprocessable(REFUSED, code="invalid_model", errors=errors) from error


def _said(pointer: str) -> str:
    """Where in the body the card's field comes from."""
    return next((said for field, said in _SAID.items() if pointer.startswith(field)), pointer)


def _refused(pointer: str, code: str, detail: str) -> Unprocessable:
    errors = [FieldError(pointer, code, detail)]
    return Unprocessable(REFUSED, code="invalid_model", errors=errors)
