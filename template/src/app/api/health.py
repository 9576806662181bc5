"""Whether the service is alive, and whether it may take traffic."""

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.state import Check, Door
from app.resilience.circuit_breaker import CircuitState
from app.resilience.health import HealthReport
from app.telemetry.observed import observed

router = APIRouter(tags=["health"])

_CHECK_TIMEOUT_S = 0.5


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


@router.get("/readyz", summary="May it take traffic? What is degraded?")
async def readyz(door: Door) -> Ready:
    """Say that requests are welcome, and what is missing.

    A lost cache makes the service slower, not wrong, and a provider that is away is away for every
    instance: taking them all out of traffic at once would turn it into an outage.
    """
    answers = await asyncio.gather(*map(_in_time, door.checks.values()), return_exceptions=True)
    missing = [n for n, answer in zip(door.checks, answers, strict=True) if answer is not True]
    reports = {name: health.report() for name, health in door.providers.items()}
    return Ready(
        degraded=[*missing, *(name for name, report in reports.items() if report.degraded)],
        providers={name: _shown(report) for name, report in reports.items()},
    )


def _shown(report: HealthReport) -> ProviderHealth:
    return ProviderHealth(state=report.state, success_rate=report.success_rate, calls=report.calls)


@observed("readiness.check")
async def _in_time(check: Check) -> bool:
    async with asyncio.timeout(_CHECK_TIMEOUT_S):
        return await check()
