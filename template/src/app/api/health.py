"""Whether the service is alive, and whether it may take traffic."""

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.state import Check, Door
from app.telemetry.observed import observed

router = APIRouter(tags=["health"])

_CHECK_TIMEOUT_S = 0.5


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"
    degraded: list[str]


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Alive:
    """Say that the process runs. Nothing is looked at: a restart would repair nothing else."""
    return Alive()


@router.get("/readyz", summary="May it take traffic? What is degraded?")
async def readyz(door: Door) -> Ready:
    """Say that requests are welcome, and what is missing.

    A lost cache makes the service slower, not wrong: taking every instance out of traffic at once
    would turn it into an outage.
    """
    answers = await asyncio.gather(*map(_in_time, door.checks.values()), return_exceptions=True)
    names = zip(door.checks, answers, strict=True)
    return Ready(degraded=[name for name, answer in names if answer is not True])


@observed("readiness.check")
async def _in_time(check: Check) -> bool:
    async with asyncio.timeout(_CHECK_TIMEOUT_S):
        return await check()
