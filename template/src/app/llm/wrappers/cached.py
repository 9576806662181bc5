import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

import structlog
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError

from app.cache.base import Cache
from app.llm.model import Model
from app.llm.types import ChatRequest, Done, LLMResponse, StreamEvent, TextDelta
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.request_key import request_key
from app.llm.wrappers.wrapper import Wrapper
from app.telemetry.observed import observed

_log = structlog.get_logger(__name__)

_REPLAY_CHARS = 64
_MONTH_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How many seconds an answer is as good as a new one, and how many it is better than none."""

    ttl_s: Annotated[float, Gt(0), Le(_MONTH_S)] = 3600.0
    stale_ttl_s: Annotated[float, Ge(0), Le(_MONTH_S)] = 24 * 3600.0

    @property
    def kept_s(self) -> float:
        return max(self.ttl_s, self.stale_ttl_s)


_DEFAULT = CachePolicy()


class _Entry(BaseModel):
    """The time is the wall clock's: processes on several machines share entries."""

    stored_at_s: float
    response: LLMResponse


class Cached(Wrapper):
    """An equal request gets the same answer, streamed or not.

    Only whole answers are kept: neither errors, nor what a limit or a filter cut off. One that is
    no longer fresh is no hit, but stays for a while in case nobody else answers: see `from_before`.
    """

    def __init__(
        self,
        model: Model,
        cache: Cache,
        policy: CachePolicy = _DEFAULT,
        *,
        meter: Meter = NOT_METERED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(model)
        self._meter = meter
        self._cache = cache
        self._policy = policy
        self._clock = clock

    async def complete(self, request: ChatRequest) -> LLMResponse:
        key = self._key(request)
        known = None if request.fresh else await self._lookup(key)
        if known is not None:
            return known
        response = await self._model.complete(request)
        await self._keep(key, response)
        return response

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        key = self._key(request)
        known = None if request.fresh else await self._lookup(key)
        if known is not None:
            for event in replayed(known):
                yield event
            return
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, Done):
                    await self._keep(key, event.response)
                yield event

    def _key(self, request: ChatRequest) -> str:
        return f"chat:{request_key(request, provider=self.name)}"

    async def from_before(self, request: ChatRequest) -> LLMResponse | None:
        """What was once answered, however old, without asking the model."""
        entry = await self._entry(self._key(request))
        if entry is None:
            return None
        _log.warning("llm.stale", provider=self.name, age_s=round(self._age_s(entry), 3))
        return entry.response.model_copy(update={"cached": True, "stale": True, "cost_usd": 0.0})

    async def _lookup(self, key: str) -> LLMResponse | None:
        entry = await self._entry(key)
        hit = entry is not None and self._age_s(entry) < self._policy.ttl_s
        self._meter.cache(self.name, hit=hit)
        return entry.response.model_copy(update={"cached": True}) if entry and hit else None

    @observed("cache.lookup")
    async def _entry(self, key: str) -> _Entry | None:
        stored = await self._cache.get(key)
        if stored is None:
            return None
        try:
            return _Entry.model_validate_json(stored)
        except ValidationError:
            _log.warning("cache.corrupt", provider=self.name)
            return None

    def _age_s(self, entry: _Entry) -> float:
        return self._clock() - entry.stored_at_s

    async def _keep(self, key: str, response: LLMResponse) -> None:
        if response.finish_reason == "stop":
            entry = _Entry(stored_at_s=self._clock(), response=response)
            await self._cache.set(key, entry.model_dump_json().encode(), self._policy.kept_s)


def replayed(response: LLMResponse) -> list[StreamEvent]:
    content = response.content
    pieces = range(0, len(content), _REPLAY_CHARS)
    deltas = [TextDelta(content[start : start + _REPLAY_CHARS]) for start in pieces]
    return [*deltas, Done(response)]
