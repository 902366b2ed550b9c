"""How a worker process runs and ends: until SIGTERM it works, then it drains for a while, then it is gone."""

import asyncio
import contextlib
import faulthandler
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from starlette.exceptions import HTTPException

from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.ending import end_tasks
from shared.http_problems import answer_http_error
from shared.telemetry import logger

log = logger(__name__)

_LEAVING_SECONDS = 12.0

Work: TypeAlias = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class Life:
    """`work` ends by itself after `stop`; `helpers` go on until it has, and are cancelled then."""

    work: Sequence[Work]
    helpers: Sequence[Work]
    stop: Callable[[], None]
    drain_seconds: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def settle_heap() -> None:
    """Once, when a process has loaded what it stays with: full collections then look only at what came later.

    Re-projection makes many short-lived objects, and more than half of its time went into looking at modules again.
    """
    gc.collect()
    gc.freeze()


async def live(life: Life) -> None:
    """Until SIGTERM or SIGINT. Raises what a part raised that should have gone on.

    A process that does not end after its drain says where it hangs and goes, so that nobody waits for it.
    """
    settle_heap()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, life.stopping.set)
    works = [asyncio.create_task(one) for one in life.work]
    helpers = [asyncio.create_task(one) for one in life.helpers]
    told = asyncio.create_task(_heard(life.stopping), name="told to stop")
    ended, _ = await asyncio.wait({*works, *helpers, told}, return_when=asyncio.FIRST_COMPLETED)
    log.info("draining")
    faulthandler.dump_traceback_later(life.drain_seconds + _LEAVING_SECONDS, exit=True)
    life.stopping.set()
    life.stop()
    await asyncio.wait(works, timeout=life.drain_seconds)
    await end_tasks({*works, *helpers, told})
    for task in ended - {told}:  # one that ends by itself is a bug: fail loudly, the supervisor restarts
        task.result()


async def serve_health(app: FastAPI, host: str, port: int) -> None:
    config = uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off")
    await _HealthServer(config).serve()


def create_health_app(title: str, sessions: Sessions, is_stopping: Callable[[], bool]) -> FastAPI:
    """Health and metrics of a worker. It serves nothing else."""
    app = FastAPI(title=title, openapi_url=None, exception_handlers={HTTPException: answer_http_error})

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        """Ready when PostgreSQL answers; another part that is away delays work but needs no restart of the worker."""
        if is_stopping():
            response.status_code = 503
            return {"status": "stopping"}
        try:
            async with sessions() as session:
                await session.execute(text("SELECT 1"))
        except DATABASE_ERRORS:
            response.status_code = 503
            return {"status": "the database does not answer"}
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


async def _heard(stopping: asyncio.Event) -> None:
    await stopping.wait()


class _HealthServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the worker's
