"""`python -m services.inference`: one worker process."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import cv2
import uvloop

from services.inference.backlog import report_backlog
from services.inference.fencing import keep_cutting_off
from services.inference.inputs.content import ContentReader
from services.inference.machinery import Machinery
from services.inference.progress import ProgressReporter, report_progress
from services.inference.registration.register import Registrar
from services.inference.replicas import keep_reaching
from services.inference.settings import InferenceSettings
from services.inference.shared_memory import SharedMemory
from services.inference.triton import Triton
from services.inference.worker import ACTOR, Worker
from shared.contracts.jobs import Doorbell
from shared.database.engine import create_engine, create_sessions
from shared.egress import Egress
from shared.hints import Hints
from shared.lifecycle import Life, create_health_app, live, serve_health
from shared.object_store import ObjectStore
from shared.operations import Company, OperationWorker
from shared.presence import keep_present
from shared.queue import JobQueue, answer_doorbell
from shared.signals import Signals
from shared.telemetry import configure_logging
from shared.tracing import close_tracing, configure_tracing


async def main() -> None:
    settings = InferenceSettings()
    configure_logging(settings, "inference")
    configure_tracing(settings, "inference")
    cv2.setNumThreads(1)  # the threads are ours: one a batch
    engine = create_engine(settings, "prelabel-inference", idle_seconds=settings.inference_lease_seconds)
    redis_url = settings.redis_url.get_secret_value()
    signals = Signals(JobQueue(redis_url), Hints(redis_url))
    egress = Egress(settings)
    memory = SharedMemory(settings.inference_shared_memory_bytes) if settings.inference_transport == "auto" else None
    triton = Triton(settings.triton_url, settings.inference_deadline_seconds, memory=memory)
    with ThreadPoolExecutor(settings.inference_threads, "prepare") as threads:
        store = ObjectStore(settings.object_store_url)
        reader = ContentReader(store, egress)
        machinery = Machinery(settings, create_sessions(engine), store, reader, triton, threads, memory)
        worker = Worker(machinery, signals)
        try:
            await _serve(worker, machinery, signals)
        finally:
            await machinery.servers.close()
            await triton.close()
            if memory is not None:
                memory.close()
            await egress.close()
            await signals.close()
            await engine.dispose()
            close_tracing()


async def _serve(worker: Worker, machinery: Machinery, signals: Signals) -> None:
    settings, stopping = machinery.settings, asyncio.Event()
    redis_url = settings.redis_url.get_secret_value()
    doorbell = Doorbell.RUNS if settings.inference_purpose == "run" else Doorbell.PREVIEWS
    reporter = ProgressReporter(worker.sessions, signals.hints)
    health = create_health_app("Prelabel inference", worker.sessions, stopping.is_set)
    machinery.lending.serve_on(health)
    helpers = [
        answer_doorbell(redis_url, doorbell, worker.on_ring),
        worker.beat(),
        worker.keeper.keep(),
        keep_reaching(machinery.triton, settings.triton_url),
        worker.names.keep(),
        worker.report_speed(),
        report_progress(reporter, worker.held),
        keep_cutting_off(worker.sessions, settings.inference_lease_seconds),
        keep_present(worker.sessions, "inference", settings.inference_purpose),
        report_backlog(worker.sessions),
        serve_health(health, settings.inference_host, settings.inference_metrics_port),
    ]
    works, stop = [worker.work()], worker.stop
    if settings.inference_purpose == "run":  # nothing may delay previews
        registrar = Registrar(machinery, worker.models, worker.keeper.replicas)
        company = Company(worker.sessions, signals, settings, ACTOR)
        operations = OperationWorker(company, registrar.handlers)
        works.append(operations.work())
        helpers += [
            answer_doorbell(redis_url, Doorbell.INFERENCE_OPERATIONS, operations.on_ring),
            operations.beat(),
        ]

        def stop() -> None:
            worker.stop()
            operations.stop()

    await live(Life(works, helpers, stop, settings.inference_drain_seconds, stopping))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
