"""Health and metrics of a worker. It serves nothing else."""

from collections.abc import Callable

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from shared.database.engine import DATABASE_ERRORS, Sessions


def create_app(sessions: Sessions, is_stopping: Callable[[], bool]) -> FastAPI:
    app = FastAPI(title="Prelabel inference", openapi_url=None)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        """Ready when PostgreSQL answers; a Triton that is away stalls runs but needs no restart of the worker."""
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
