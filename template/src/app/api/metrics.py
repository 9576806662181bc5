from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field

from app.api.state import Door
from app.telemetry.recent import Statistics

router = APIRouter(tags=["metrics"])


class Summary(BaseModel):
    """How this process did lately. Answers from the cache and calls given up are not the models'."""

    window_s: float = Field(description="Only what ended within the last so many seconds counts.")
    http: dict[str, Statistics] = Field(description="By method and route.")
    llm: dict[str, Statistics] = Field(description="By provider and operation.")


@router.get("/metrics", response_class=Response, summary="Counts and timings, for Prometheus")
async def metrics(door: Door, accept: Annotated[str, Header()] = "") -> Response:
    """Show the counts of this process, in the format that Prometheus asks for."""
    content, media_type = door.metrics.exposition(accept)
    return Response(content, headers={"Content-Type": media_type})


@router.get("/metrics/summary", summary="Counts, error rate and percentiles, for people")
async def summary(door: Door) -> Summary:
    """Show how the last minutes went, by route and by provider. Percentiles are within 1%."""
    metrics = door.metrics
    return Summary(
        window_s=metrics.recent_http.window_s,
        http=metrics.recent_http.statistics(),
        llm=metrics.recent_llm.statistics(),
    )
