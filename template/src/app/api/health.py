"""Whether the service is alive, and whether it may take traffic."""

import asyncio
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel

from app.api.openapi import problems
from app.api.services import Check, ServicesDep
from app.connections import STOPPING
from app.resilience.circuit_breaker import CircuitState
from app.resilience.health import HealthReport
from app.telemetry.observed import observed

router = APIRouter(tags=["health"])

# A check of Redis takes half a second when it hangs, and has to find that out itself to log it.
_CHECK_TIMEOUT_S = 0.75

_UNCONFIGURED = "No provider is configured, and the mock API does not answer: see docs/deploy.md."


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class ProviderHealth(BaseModel):
    """Of the last five minutes. `success_rate` is null without calls."""

    state: CircuitState
    success_rate: float | None
    calls: int


class Ready(BaseModel):
    status: Literal["ready"] = "ready"
    degraded: list[str]
    providers: dict[str, ProviderHealth]


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Alive:
    """Say that the process runs. Nothing is looked at: a restart would repair nothing else."""
    return Alive()


@router.get("/readyz", summary="May it take traffic? What is degraded?", responses=problems(503))
async def readyz(services: ServicesDep, request: Request) -> Ready:
    """Say that requests are welcome, and what is missing.

    A lost cache makes the service slower, not wrong, and a provider that is away is away for every
    instance: taking them all out of traffic at once would turn it into an outage. A process that
    has been asked to stop answers 503, while it still serves the requests that it gets. So does one
    without a configured provider, if the mock API is not there either.
    """
    if getattr(request.state, STOPPING, False):
        raise HTTPException(503, "The service is stopping.")
    if services.mock is not None and not await _passes(services.mock):
        raise HTTPException(503, _UNCONFIGURED)
    answers = await asyncio.gather(*map(_in_time, services.checks.values()), return_exceptions=True)
    missing = [n for n, answer in zip(services.checks, answers, strict=True) if answer is not True]
    reports = {name: health.report() for name, health in services.providers.items()}
    return Ready(
        degraded=[*missing, *(name for name, report in reports.items() if report.degraded)],
        providers={name: _shown(report) for name, report in reports.items()},
    )


async def _passes(check: Check) -> bool:
    try:
        return await _in_time(check)
    except TimeoutError:
        return False


def _shown(report: HealthReport) -> ProviderHealth:
    return ProviderHealth(state=report.state, success_rate=report.success_rate, calls=report.calls)


@observed("readiness.check")
async def _in_time(check: Check) -> bool:
    async with asyncio.timeout(_CHECK_TIMEOUT_S):
        return await check()
