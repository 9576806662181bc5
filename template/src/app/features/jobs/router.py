"""`/v1/jobs`: many inputs at once, answered in the background."""

from typing import Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.api.event_stream import EventStream
from app.api.inputs import Tenant
from app.api.middleware.body_limit import hold_for_answer
from app.api.openapi import problems
from app.api.services import ServicesDep
from app.features.jobs.accepting import accept, owner_of
from app.features.jobs.bodies import ID_PATTERN, Job, JobPage, body_of_any
from app.features.jobs.events import EVENT_STREAM, frames
from app.features.jobs.kinds import Kinds
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import JobStore, Progress

_log = structlog.get_logger(__name__)

_POLL_S = 0.5
_MAX_RESULTS = 200
_BYTES_PER_STORED_BYTE = 16  # numbers as objects and as text; they are stored with 32 bits

_READING = problems(404, 422, 429, 500, 503)


def _store(request: Request) -> JobStore:
    store: JobStore = request.app.state.jobs
    return store


Store = Annotated[JobStore, Depends(_store)]
JobId = Annotated[str, Path(pattern=ID_PATTERN, description="The id of the job.")]


async def _own(job: JobId, store: Store, tenant: Tenant) -> Progress:
    """The job of the path. A job of another client does not exist."""
    progress = await store.progress(job)
    if progress is None or progress.spec.owner != owner_of(tenant):
        raise HTTPException(404, "There is no such job. A job expires some time after its end.")
    return progress


Own = Annotated[Progress, Depends(_own)]


def endpoints(kinds: Kinds, policy: JobsPolicy) -> APIRouter:
    router = APIRouter(tags=["jobs"])
    create = _creating(kinds, policy)
    router.post(
        "/v1/jobs",
        status_code=202,
        summary="Create a job",
        responses=problems(402, 413, 422, 429, 500, 503),
    )(create)
    router.get("/v1/jobs/{job}", summary="Get a job and its results", responses=_READING)(
        _reading(kinds)
    )
    router.get(
        "/v1/jobs/{job}/events",
        summary="Follow the progress of a job",
        response_class=StreamingResponse,
        responses={200: EVENT_STREAM, **_READING},
    )(follow)
    router.delete("/v1/jobs/{job}", summary="Cancel a job", responses=_READING)(cancel)
    return router


def _creating(kinds: Kinds, policy: JobsPolicy) -> Any:  # noqa: ANN401 - an endpoint
    async def create(
        body: Any,  # noqa: ANN401 - see below
        store: Store,
        services: ServicesDep,
        tenant: Tenant,
        response: Response,
    ) -> Job:
        """Accepts inputs that workers process in the background. `Location` has the job's address."""
        progress = await accept(
            body.items, kinds[body.kind], store, services, mode=body.mode, tenant=tenant
        )
        response.headers["Location"] = f"/v1/jobs/{progress.spec.id}"
        return Job.of(progress, store.runs_in)

    # The kinds are those of this project's features, so the type of the body is made at start.
    create.__annotations__["body"] = body_of_any(list(kinds.values()), policy.max_items)
    return create


def _reading(kinds: Kinds) -> Any:  # noqa: ANN401 - an endpoint
    async def read(
        own: Own,
        store: Store,
        request: Request,
        after: Annotated[int, Query(ge=0, description="How many results to skip.")] = 0,
        limit: Annotated[int, Query(ge=0, le=_MAX_RESULTS, description="Results per page.")] = 50,
    ) -> JobPage:
        """Returns how far a job is, and a page of its results, also before it has ended."""
        stored = await store.results(own.spec.id, after, limit) if limit else []
        hold_for_answer(request.scope, _BYTES_PER_STORED_BYTE * sum(map(len, stored)))
        is_last = own.has_ended and after + len(stored) >= own.succeeded + own.failed
        page = {
            **Job.of(own, store.runs_in).model_dump(mode="json"),
            "results": [_shown(each, kinds, own) for each in stored],
            "next": None if is_last else after + len(stored),
        }
        return Response(orjson.dumps(page), media_type="application/json")  # type: ignore[return-value]

    return read


def _shown(stored: bytes, kinds: Kinds, own: Progress) -> dict[str, Any]:
    item: dict[str, Any] = orjson.loads(stored)
    kind = kinds.get(own.spec.kind)
    if kind is not None and item["result"] is not None:
        item["result"] = kind.shown(item["result"])
    return item


async def follow(own: Own, store: Store) -> Response:
    """Streams the progress of a job until it ends."""
    return EventStream(frames(store, own, poll_s=_POLL_S))


async def cancel(own: Own, store: Store) -> Job:
    """Cancels a job. Its results so far can still be read. A job that has ended stays as it is."""
    await store.cancel(own.spec.id)
    _log.info("job.cancelled", job=own.spec.id)
    return Job.of(await store.progress(own.spec.id) or own, store.runs_in)
