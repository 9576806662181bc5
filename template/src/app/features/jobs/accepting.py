"""Makes a job of a request: checks its items, and queues them in batches."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import structlog
from fastapi.exceptions import RequestValidationError

from app.api.job_kinds import JobKind
from app.api.services import Services
from app.features.jobs.store import JobSpec, JobStore, Mode, Progress
from app.telemetry.correlation import client, request_id, traceparent

_log = structlog.get_logger(__name__)

# Other requests run after so many items: ten thousand chats take 0.3 s to check.
_ITEMS_IN_A_ROW = 100
# Of a job with the mode `batch`: a worker holds the requests or the answers of one part in memory.
_ITEMS_PER_PART = 1000


def owner_of(tenant: str | None) -> str:
    """The client; without client keys the tenant, as its gateway names it."""
    return client.get() or tenant or ""


async def accept(
    items: Sequence[Any],
    kind: JobKind[Any],
    store: JobStore,
    services: Services,
    *,
    mode: Mode,
    tenant: str | None,
) -> Progress:
    """Queue a job. Raises `RequestValidationError`, `TooManyJobsError` or `JobsUnavailableError`."""
    if mode == "batch":
        _check_batches(kind, services)
    encoded = []
    for index, item in enumerate(items):
        if index % _ITEMS_IN_A_ROW == 0:
            await asyncio.sleep(0)
        await _check(index, item, kind, services, tenant)
        encoded.append(kind.item.dump_json(item, exclude_unset=True))
    spec = JobSpec(
        id=f"job_{uuid4().hex}",
        kind=kind.name,
        owner=owner_of(tenant),
        total=len(items),
        created_at=time.time(),
        mode=mode,
        client=client.get(),
        tenant=tenant,
        request_id=request_id.get(),
        traceparent=traceparent.get(),
    )
    size = _ITEMS_PER_PART if mode == "batch" else kind.items_per_batch
    await store.add(spec, [encoded[at : at + size] for at in range(0, len(encoded), size)])
    _log.info("job.accepted", job=spec.id, kind=spec.kind, mode=mode, items=spec.total)
    return Progress(spec, "queued")


def _check_batches(kind: JobKind[Any], services: Services) -> None:
    """Raises `RequestValidationError`, with the field `mode` and the value that is accepted."""
    if services.batches is None:
        place = ("body", kind.name, "mode")
        why = "must be direct: the first of LLM_PROVIDERS has no batches"
        raise RequestValidationError([{"loc": place, "msg": why, "type": "value_error"}])


async def _check(
    index: int, item: object, kind: JobKind[Any], services: Services, tenant: str | None
) -> None:
    try:
        await kind.check(item, tenant, services)
    except RequestValidationError as error:
        raise RequestValidationError(
            [_of_item(kind, index, one) for one in error.errors()]
        ) from None


def _of_item(kind: JobKind[Any], index: int, error: dict[str, Any]) -> dict[str, Any]:
    """The place as Pydantic names it for the other errors of an item."""
    _, *place = error["loc"]
    return {**error, "loc": ("body", kind.name, "items", index, *place)}
