"""Jobs on the queue. A job only says that there is work; which work is decided in PostgreSQL."""

from enum import StrEnum


class Doorbell(StrEnum):
    """Which workers to wake; the value is the name of their arq queue."""

    RUNS = "prelabel:runs"
    PREVIEWS = "prelabel:previews"
    OPERATIONS = "prelabel:operations"
    INFERENCE_OPERATIONS = "prelabel:inference-operations"


RING = "ring"
"""Name of the one job function every worker registers."""
