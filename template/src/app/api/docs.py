"""`/docs`, with everything that it needs: behind a closed network there is no CDN to fetch it from.

The addresses are relative, so that the page also works below a prefix of a proxy.
"""

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    return get_swagger_ui_html(
        title=request.app.title,
        openapi_url="openapi.json",
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="docs/assets/favicon-32x32.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True},
    )


def assets() -> Mount:
    """Swagger UI itself, as the package `fastapi-swagger` carries it."""
    files = StaticFiles(packages=[("fastapi_swagger", "resources")])
    return Mount("/docs/assets", files, name="docs-assets")
