"""The api as one ASGI application. To add a feature: write its folder, name its router in `ROUTERS`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from services.api import health
from services.api.access import routes as access
from services.api.admission import Admission, Places, Turns
from services.api.auto_accept import routes as auto_accept
from services.api.data_rows import routes as data_rows
from services.api.docs_page import add_docs_page
from services.api.exchange import routes as exchange
from services.api.idempotency import REPLAYED
from services.api.label_studio import routes as label_studio
from services.api.measures import routes as measures
from services.api.metrics import HttpMetrics
from services.api.middleware import REQUEST_ID, RequestContext
from services.api.model_catalog import routes as model_catalog
from services.api.model_registration import routes as model_registration
from services.api.model_runs import routes as model_runs
from services.api.notifications import routes as notifications
from services.api.operations import routes as operations
from services.api.previews import routes as previews
from services.api.problems import install_problem_handlers
from services.api.projects import routes as projects
from services.api.resources import open_resources
from services.api.review import routes as review
from services.api.review_queue import routes as review_queue
from services.api.settings import ApiSettings
from services.api.system import routes as system
from services.api.webhooks import routes as webhooks
from services.api.withholding import routes as withholding
from shared.contracts.http import Problem
from shared.presence import present
from shared.version import VERSION

ROUTERS: tuple[APIRouter, ...] = (
    access.router,
    access.tickets,
    projects.router,
    data_rows.router,
    model_catalog.router,
    model_registration.router,
    previews.router,
    model_runs.router,
    review.router,
    measures.router,
    withholding.router,
    auto_accept.router,
    exchange.router,
    review_queue.router,
    operations.router,
    notifications.router,
    system.router,
    webhooks.router,
    label_studio.router,
)
"""Every feature of the api, in the order of its documentation."""

_TAGS: Sequence[dict[str, str]] = (
    {"name": "access", "description": "Members, their API keys, and tickets for websockets."},
    {"name": "projects", "description": "Projects, their ontologies, readiness and event log."},
    {"name": "data-rows", "description": "Things to label, their content, and batches of them."},
    {"name": "models", "description": "The model catalog, how a model fits a project, and models of one's own."},
    {"name": "previews", "description": "A model tried on a sample, before it is run on everything."},
    {"name": "model-runs", "description": "Model runs: submit, watch, cancel; their outcomes and pre-labels."},
    {"name": "review", "description": "What people decide about pre-labels, and the labels that come of it."},
    {"name": "measures", "description": "How good pre-labels are, and what they change; accepting under audit."},
    {"name": "exchange", "description": "Labels and pre-labels in the formats of other tools, out and in."},
    {"name": "operations", "description": "Long work in the background: how far it is, how it ended."},
    {"name": "notifications", "description": "What a member should know about."},
    {"name": "webhooks", "description": "Who outside is told of events, and how each delivery went."},
    {"name": "system", "description": "How the installation is, for admins."},
    {"name": "label-studio", "description": "Prelabel as a machine learning backend of Label Studio."},
    {"name": "health", "description": "For probes and monitoring; no key is needed."},
)
_ABOUT = """Model-assisted labeling: a model proposes labels on a project's data, a person reviews them.

Every error is an RFC 9457 problem (`application/problem+json`) with a stable `type`; `errors[]` point into the body.
Lists are paged by `page_size` and `page_token`. A POST that creates takes an `Idempotency-Key`: the same key and body
give the same answer for 24 hours. What has an `ETag` is changed with `If-Match`.
"""


class PrelabelApi(FastAPI):
    outermost: Sequence[Middleware] = ()
    """What stands around FastAPI's own, so that whom it turns away costs nothing of that."""

    def build_middleware_stack(self) -> ASGIApp:
        app = super().build_middleware_stack()
        for middleware, args, options in reversed(self.outermost):
            app = middleware(app, *args, **options)
        return app

    def openapi(self) -> dict[str, Any]:
        """With the schema of problems, which every call declares and no response model names."""
        document = super().openapi()
        schema = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
        return document


def create_app(settings: ApiSettings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings) as resources, present(resources.sessions, "api"):
            app.state.resources = resources
            yield

    app = PrelabelApi(
        title="Prelabel",
        version=VERSION,
        summary="Model-assisted labeling",
        description=_ABOUT,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        openapi_tags=list(_TAGS),
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.metrics = HttpMetrics()
    install_problem_handlers(app)
    app.add_middleware(RequestContext, metrics=app.state.metrics)
    app.outermost = [*_cors(settings), _admission(settings, app.state.metrics)]
    add_docs_page(app)
    for router in (*ROUTERS, health.router):
        app.include_router(router)
    return app


def _admission(settings: ApiSettings, metrics: HttpMetrics) -> Middleware:
    places = Places(settings.api_max_in_flight, settings.api_max_in_flight_per_key)
    turns = Turns(settings.database_pool_size, settings.database_pool_wait_seconds)
    return Middleware(Admission, places=places, turns=turns, metrics=metrics)


def _cors(settings: ApiSettings) -> list[Middleware]:
    if not settings.allowed_origins:
        return []
    shown = ["ETag", "Location", "Retry-After", REPLAYED, REQUEST_ID]
    any_of: dict[str, Any] = {"allow_methods": ["*"], "allow_headers": ["*"]}
    return [Middleware(CORSMiddleware, allow_origins=settings.allowed_origins, expose_headers=shown, **any_of)]


def _operation_id(route: APIRoute) -> str:
    # Generated clients take their names from it, so it is the function's name and nothing that changes with a path.
    return route.name
