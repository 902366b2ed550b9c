"""`python -m services.inference`: one worker process."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import uvicorn
import uvloop

from services.inference.app import create_app
from services.inference.inputs.content import ContentReader
from services.inference.pipeline import Machinery
from services.inference.progress import ProgressReporter, report_progress
from services.inference.settings import InferenceSettings
from services.inference.triton import Triton
from services.inference.worker import Worker
from shared.contracts.jobs import Doorbell
from shared.database.engine import create_engine, create_sessions
from shared.egress import Egress
from shared.hints import Hints
from shared.object_store import ObjectStore
from shared.queue import JobQueue, answer_doorbell
from shared.signals import Signals
from shared.telemetry import configure_logging, logger

log = logger(__name__)


async def main() -> None:
    settings = InferenceSettings()
    configure_logging(settings, "inference")
    cv2.setNumThreads(1)  # the threads are ours: one a batch
    engine = create_engine(settings, "prelabel-inference")
    redis_url = settings.redis_url.get_secret_value()
    signals = Signals(JobQueue(redis_url), Hints(redis_url))
    egress = Egress(settings)
    triton = Triton(settings.triton_url, settings.inference_deadline_seconds)
    with ThreadPoolExecutor(settings.inference_threads, "prepare") as threads:
        reader = ContentReader(ObjectStore(settings.object_store_url), egress)
        worker = Worker(Machinery(settings, create_sessions(engine), reader, triton, threads), signals)
        try:
            await _serve(worker, settings, signals)
        finally:
            await triton.close()
            await egress.close()
            await signals.close()
            await engine.dispose()


async def _serve(worker: Worker, settings: InferenceSettings, signals: Signals) -> None:
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    doorbell = Doorbell.RUNS if settings.inference_purpose == "run" else Doorbell.PREVIEWS
    reporter = ProgressReporter(worker.sessions, signals.hints)
    helpers = [
        asyncio.create_task(answer_doorbell(settings.redis_url.get_secret_value(), doorbell, worker.on_ring)),
        asyncio.create_task(worker.beat()),
        asyncio.create_task(worker.keeper.keep()),
        asyncio.create_task(report_progress(reporter, worker.held)),
        asyncio.create_task(_serve_health(worker, settings, stopping)),
    ]
    lanes = asyncio.create_task(worker.work())
    told = asyncio.create_task(_heard(stopping), name="told to stop")
    ended, _ = await asyncio.wait({lanes, *helpers, told}, return_when=asyncio.FIRST_COMPLETED)
    log.info("draining")
    worker.stop()
    await asyncio.wait({lanes}, timeout=settings.inference_drain_seconds)
    for task in (lanes, told, *helpers):
        task.cancel()
    await asyncio.gather(lanes, *helpers, return_exceptions=True)
    for task in ended - {told}:  # one that ends by itself is a bug: fail loudly, the supervisor restarts
        task.result()


async def _heard(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def _serve_health(worker: Worker, settings: InferenceSettings, stopping: asyncio.Event) -> None:
    app = create_app(worker.sessions, stopping.is_set)
    config = uvicorn.Config(
        app, host=settings.inference_host, port=settings.inference_metrics_port, log_config=None, access_log=False
    )
    await _HealthServer(config).serve()


class _HealthServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the worker's


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
