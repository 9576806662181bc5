"""The routers of jobs: the endpoints of the API, and the worker, which has none.

With a Redis the API queues jobs and processes of their own (`python -m app worker`) run them.
Without one the API runs them itself.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import structlog
from fastapi import APIRouter, FastAPI

from app.api.services import Services, services_of
from app.features.jobs.kinds import installed
from app.features.jobs.memory import MemoryJobs
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.router import endpoints
from app.features.jobs.store import PartQueue, WorkQueue
from app.features.jobs.worker import Worker

_log = structlog.get_logger(__name__)


def jobs_router(policy: JobsPolicy, worker_grace_s: float | None = None) -> APIRouter:
    """The part of jobs in a process of the API, or of a worker, if it has a `worker_grace_s`."""
    return _of_api(policy) if worker_grace_s is None else _of_worker(policy, worker_grace_s)


def _of_api(policy: JobsPolicy) -> APIRouter:
    """The endpoints. Without a Redis the worker is opened and closed with them."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = services_of(app)
        if services.shared is not None:
            # Imported here, because the client of Redis takes 6 MB of memory.
            from app.features.jobs.redis_store import RedisJobs  # noqa: PLC0415

            app.state.jobs = RedisJobs(services.shared, policy)
            yield
            return
        _log.info("jobs.in_process")
        app.state.jobs = jobs = MemoryJobs(policy)
        async with _worker(app, jobs, jobs.parts, services, policy).running():
            yield

    router = APIRouter(lifespan=lifespan)
    router.include_router(_endpoints(policy))
    return router


@cache
def _endpoints(policy: JobsPolicy) -> APIRouter:
    """Made once for equal settings: the types of the bodies take some 20 ms."""
    return endpoints(installed(), policy)


def _of_worker(policy: JobsPolicy, grace_s: float) -> APIRouter:
    """A router without endpoints. The worker is opened and closed with it.

    A batch in progress has `grace_s` to end when the process stops; then it goes to another worker.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = services_of(app)
        if services.shared is None:
            raise RuntimeError("a worker needs the Redis that it shares with the API")
        from app.features.jobs.redis_parts import RedisParts  # noqa: PLC0415 - as above
        from app.features.jobs.redis_queue import RedisQueue  # noqa: PLC0415

        queue = RedisQueue(services.shared, policy)
        parts = RedisParts(services.shared, policy)
        async with _worker(app, queue, parts, services, policy, grace_s=grace_s).running():
            _log.info("jobs.worker_ready", concurrency=policy.concurrency)
            yield

    return APIRouter(lifespan=lifespan)


def _worker(
    app: FastAPI,
    queue: WorkQueue,
    parts: PartQueue,
    services: Services,
    policy: JobsPolicy,
    *,
    grace_s: float = 0.0,
) -> Worker:
    accounts = app.state.accounts
    kinds = installed()
    return Worker(queue, services, kinds, policy, parts=parts, accounts=accounts, grace_s=grace_s)
