from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from app.api.services import ServicesDep
from app.api.summary_page import POLICY, summary_page
from app.telemetry.metrics import Metrics
from app.telemetry.recent import Statistics

router = APIRouter(tags=["metrics"])


class Summary(BaseModel):
    """Requests and model calls of the last minutes.

    Cached answers and cancelled calls are left out of the model calls.
    """

    window_s: float = Field(description="The length of the window in seconds.")
    http: dict[str, Statistics] = Field(description="Requests by method and route.")
    llm: dict[str, Statistics] = Field(description="Model calls by provider and operation.")


@router.get("/metrics", response_class=Response, summary="Get the metrics for Prometheus")
async def metrics(services: ServicesDep, accept: Annotated[str, Header()] = "") -> Response:
    """Returns the metrics of this process in the format that Prometheus requests."""
    content, media_type = services.metrics.exposition(accept)
    return Response(content, headers={"Content-Type": media_type})


@router.get(
    "/metrics/summary",
    summary="Get a summary of the last minutes",
    response_model=Summary,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def summary(
    services: ServicesDep, response: Response, accept: Annotated[str, Header()] = ""
) -> Summary | HTMLResponse:
    """Returns counts, error rates and percentiles (accurate to 1%) by route and by provider.

    A browser (`Accept: text/html`) gets a page, all other clients JSON.
    """
    response.headers["Vary"] = "Accept"
    found = _summary(services.metrics)
    if not _is_browser(accept):
        return found
    page = summary_page(found.window_s, {"Requests": found.http, "Model calls": found.llm})
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "Vary": "Accept"})


def _is_browser(accept: str) -> bool:
    """A browser accepts HTML and names no JSON; a program that names both gets JSON."""
    return "text/html" in accept.lower() and "json" not in accept.lower()


def _summary(metrics: Metrics) -> Summary:
    return Summary(
        window_s=metrics.recent_http.window_s,
        http=metrics.recent_http.statistics(),
        llm=metrics.recent_llm.statistics(),
    )
