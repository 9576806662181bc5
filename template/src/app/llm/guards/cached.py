import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated

import structlog
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError

from app.cache import Cache
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, Guard, watch
from app.llm.opened_stream import Answer, Observer, OpenedStream, replayed
from app.llm.types import ChatRequest, LLMResponse
from app.telemetry.observed import observed

_log = structlog.get_logger(__name__)

_MONTH_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """`ttl_s`: served as a hit. `stale_ttl_s`: kept as a last resort while all providers fail."""

    ttl_s: Annotated[float, Gt(0), Le(_MONTH_S)] = 3600.0
    stale_ttl_s: Annotated[float, Ge(0), Le(_MONTH_S)] = 24 * 3600.0


_DEFAULT = CachePolicy()


class _Entry(BaseModel):
    """The time is the wall clock's: processes on several machines share entries."""

    stored_at_s: float
    response: LLMResponse


# The version of keys and cached values: raise it, and values of an older release are not read.
_VERSION = 6


class Cached(Guard):
    """An identical request gets the same answer, streamed or not.

    The cache keeps whole answers only: no errors, no answers that a limit or a filter cut off, and no
    empty answer, because the next call may not be empty. An answer older than `ttl_s` is not a hit.
    It stays until `stale_ttl_s` as a last resort while all providers fail: see `get_stale`.
    """

    def __init__(
        self,
        cache: Cache,
        policy: CachePolicy = _DEFAULT,
        *,
        address: str | None = None,
        metrics: GuardMetrics = NO_METRICS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._ttl_s = policy.ttl_s
        self._kept_s = max(policy.ttl_s, policy.stale_ttl_s)
        self._address = address
        self._metrics = metrics
        self._clock = clock

    async def complete(
        self, request: ChatRequest, call: Call[ChatRequest, LLMResponse]
    ) -> LLMResponse:
        key = self.key(request)
        known = None if request.fresh else await self._lookup(key)
        if known is None:
            known = await call(request)
            await self.keep(key, known)
        return known

    async def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> OpenedStream:
        key = self.key(request)
        known = None if request.fresh else await self._lookup(key)
        return replayed(known) if known else await watch(_Keeping(self, key), call(request))

    async def get_stale(self, request: ChatRequest) -> LLMResponse | None:
        """Return an earlier answer of any age, without a call to the provider."""
        entry = await self._entry(self.key(request))
        if entry is None:
            return None
        _log.warning("llm.stale", provider=self.name, age_s=round(self._age_s(entry), 3))
        return entry.response.model_copy(update={"cached": True, "stale": True, "cost_usd": 0.0})

    def key(self, request: ChatRequest) -> str:
        """Requests with equal keys are identical: one answer can serve both.

        The provider's address is in it: an answer of a mock or a test account must not outlive the
        switch to the real one. No two tenants share a key.
        """
        asked = replace(request, provider=None, fresh=False)
        # `repr`, because its quoting keeps two different requests from looking the same.
        known = repr([_VERSION, self.name, self._address, asked])
        return f"chat:{sha256(known.encode()).hexdigest()}"

    async def keep(self, key: str, response: LLMResponse) -> None:
        # Any other reason means that the answer is cut off.
        whole = {"stop": response.content.strip(), "tool_calls": response.tool_calls}
        if whole.get(response.finish_reason):
            entry = _Entry(stored_at_s=self._clock(), response=response)
            await self._cache.set(key, entry.model_dump_json().encode(), self._kept_s)

    async def _lookup(self, key: str) -> LLMResponse | None:
        entry = await self._entry(key)
        hit = entry is not None and self._age_s(entry) < self._ttl_s
        self._metrics.cache(self.name, hit=hit)
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


@dataclass(frozen=True, slots=True)
class _Keeping(Observer):
    cached: Cached
    key: str

    async def finished(self, answer: Answer) -> Answer:
        if isinstance(answer, LLMResponse):
            await self.cached.keep(self.key, answer)
        return answer
