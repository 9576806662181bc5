from typing import Annotated

from fastapi import APIRouter, Header, Response

from app.api.state import Door

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response, summary="Counts and timings, for Prometheus")
async def metrics(door: Door, accept: Annotated[str, Header()] = "") -> Response:
    """Show the counts of this process, in the format that Prometheus asks for."""
    content, media_type = door.metrics.exposition(accept)
    return Response(content, headers={"Content-Type": media_type})
