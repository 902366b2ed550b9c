"""A model on a server of others: whether it may be registered at all. What the server says, an operation finds out."""

from services.api.access.principal import Principal
from services.api.model_registration.card import needs_tokenizer
from services.api.model_registration.schemas import ForeignModelCreate
from services.api.model_registration.service import REFUSED, Registered, Submission, check_room, register_model
from services.api.settings import ApiSettings
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Problems
from shared.ids import new_id
from shared.served_at import ServedAt, submission_of


async def register(
    work: UnitOfWork, principal: Principal, wanted: ForeignModelCreate, settings: ApiSettings
) -> Registered:
    problems = Problems()
    if wanted.address not in settings.allowed_inference_addresses:
        detail = "the operator does not allow models at this address (ALLOWED_INFERENCE_ADDRESSES)"
        problems.add("/address", "address_not_allowed", detail)
    if needs_tokenizer(wanted.card):
        detail = "its tokenizer would be needed here; let the server take text, or bring the model itself"
        problems.add("/card/preprocessing", "tokenizer_missing", detail)
    problems.raise_if_any(REFUSED, code="invalid_model")
    await check_room(work, principal, wanted.card, settings.max_own_models)
    where = ServedAt(address=wanted.address, model=wanted.model, version=wanted.version)
    submission = Submission(new_id(), wanted.card, submission_of(wanted.card, where), served_at=where)
    return await register_model(work, principal, submission)
