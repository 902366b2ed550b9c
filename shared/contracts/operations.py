"""Every kind of operation: long work beside requests.

To add one: name it here with the doorbell of the service that runs it, and its handler in that service's registry
(`services/api/worker.py` has the api's, `services/inference/registration` the inference service's).
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from shared.contracts.jobs import Doorbell

OperationState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

ENDED: frozenset[OperationState] = frozenset({"succeeded", "failed", "cancelled"})

OPERATION_KINDS: Mapping[str, Doorbell] = {
    "realign_model_run": Doorbell.OPERATIONS,
    "measure_disagreement": Doorbell.OPERATIONS,
    "bulk_decisions": Doorbell.OPERATIONS,
    "undo_bulk_decisions": Doorbell.OPERATIONS,
    "import_predictions": Doorbell.OPERATIONS,
    "import_labels": Doorbell.OPERATIONS,
    "apply_policy": Doorbell.OPERATIONS,
    "model_registration": Doorbell.INFERENCE_OPERATIONS,
}


class OperationProgress(BaseModel):
    """How far an operation is, in units of its kind. `total` is null while it is not known."""

    done: int = 0
    total: int | None = None
    stage: str | None = None
