"""`python -m services.api.worker`: one process that works on the api's operations.

To add a kind: name it in `shared/contracts/operations.py`, write its handler in its feature's folder, name it here.
"""

import asyncio
import gc
from collections.abc import Mapping

import uvloop

from services.api.auto_accept.apply import apply_policy
from services.api.exchange.imports.labels import import_labels
from services.api.exchange.imports.predictions import import_predictions
from services.api.exchange.imports.sweep import keep_sweeping
from services.api.projections.operation import realign_model_run
from services.api.removal import keep_removing
from services.api.retention import keep_trimming
from services.api.review.bulk_operation import decide_in_bulk
from services.api.review.bulk_undo import undo_in_bulk
from services.api.review_queue.comparing import work_on_comparison
from services.api.settings import WorkerSettings
from shared.contracts.jobs import Doorbell
from shared.database.engine import create_engine, create_sessions
from shared.hints import Hints
from shared.lifecycle import Life, create_health_app, live, serve_health
from shared.object_store import ObjectStore
from shared.operations import Company, Handler, OperationWorker
from shared.presence import keep_present
from shared.queue import JobQueue, answer_doorbell
from shared.signals import Signals
from shared.telemetry import configure_logging
from shared.tracing import close_tracing, configure_tracing

OPERATIONS: Mapping[str, Handler] = {
    "realign_model_run": realign_model_run,
    "measure_disagreement": work_on_comparison,
    "bulk_decisions": decide_in_bulk,
    "undo_bulk_decisions": undo_in_bulk,
    "import_predictions": import_predictions,
    "import_labels": import_labels,
    "apply_policy": apply_policy,
}
"""Every kind the api's workers run. A handler works in steps; see `shared.operations.RunningOperation`."""

ACTOR = "service:operations"
_OBJECTS_UNTIL_COLLECTION = 50_000


def collect_seldom() -> None:
    """Imports make ten thousands of objects at a time, none in a cycle: looking for one costs more than making them."""
    gc.set_threshold(_OBJECTS_UNTIL_COLLECTION, 20, 20)


async def main() -> None:
    settings = WorkerSettings()
    collect_seldom()
    configure_logging(settings, "operations")
    configure_tracing(settings, "operations")
    engine = create_engine(settings, "prelabel-operations")
    redis_url = settings.redis_url.get_secret_value()
    signals = Signals(JobQueue(redis_url), Hints(redis_url))
    sessions = create_sessions(engine)
    store = ObjectStore(settings.object_store_url)
    worker = OperationWorker(Company(sessions, signals, settings, ACTOR, store), OPERATIONS)
    stopping = asyncio.Event()
    health = create_health_app("Prelabel operations", sessions, stopping.is_set)
    helpers = [
        answer_doorbell(redis_url, Doorbell.OPERATIONS, worker.on_ring),
        worker.beat(),
        keep_present(sessions, "operations"),
        keep_trimming(sessions, signals, settings),
        keep_sweeping(store, settings),
        keep_removing(sessions, store, settings),
        serve_health(health, settings.operations_host, settings.operations_metrics_port),
    ]
    try:
        await live(Life([worker.work()], helpers, worker.stop, settings.operations_drain_seconds, stopping))
    finally:
        await signals.close()
        await engine.dispose()
        close_tracing()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
