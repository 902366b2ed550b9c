"""The page at /docs. All it loads comes from here: a gateway may stand where no other host is reached."""

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_FILES = "docs/files"


def add_docs_page(app: FastAPI) -> None:
    # Addresses are relative, so that they hold behind a prefix as well.
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=app.title,
        swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{_FILES}/swagger-ui.css",
        swagger_favicon_url=f"{_FILES}/favicon-32x32.png",
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page

    app.mount(f"/{_FILES}", StaticFiles(packages=[("fastapi_swagger", "resources")]))
