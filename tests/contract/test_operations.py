"""Every kind of operation has one handler, in the service its doorbell wakes."""

from services.api.worker import OPERATIONS
from shared.contracts.jobs import Doorbell
from shared.contracts.operations import OPERATION_KINDS


def test_the_api_runs_what_its_doorbell_is_for() -> None:
    assert set(OPERATIONS) == {kind for kind, bell in OPERATION_KINDS.items() if bell is Doorbell.OPERATIONS}
