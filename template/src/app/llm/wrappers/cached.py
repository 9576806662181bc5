import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256

import structlog
from pydantic import ValidationError

from app.cache.base import Cache
from app.llm.model import Model
from app.llm.types import ChatRequest, Done, LLMResponse, StreamEvent, TextDelta
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.wrapper import Wrapper
from app.telemetry.observed import observed

_log = structlog.get_logger(__name__)

# Counts the shapes of key and value: raise it, and what an older release stored is not read.
_VERSION = 1
_REPLAY_CHARS = 64
DEFAULT_TTL_S = 3600.0


class Cached(Wrapper):
    """An equal request gets the same answer, streamed or not.

    Only whole answers are kept: neither errors, nor what a limit or a filter cut off.
    """

    def __init__(
        self,
        model: Model,
        cache: Cache,
        ttl_s: float = DEFAULT_TTL_S,
        *,
        meter: Meter = NOT_METERED,
    ) -> None:
        super().__init__(model)
        self._meter = meter
        self._cache = cache
        self._ttl_s = ttl_s

    async def complete(self, request: ChatRequest) -> LLMResponse:
        key = self._key(request)
        known = await self._lookup(key)
        if known is not None:
            return known
        response = await self._model.complete(request)
        await self._keep(key, response)
        return response

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        key = self._key(request)
        known = await self._lookup(key)
        if known is not None:
            for event in _replayed(known):
                yield event
            return
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, Done):
                    await self._keep(key, event.response)
                yield event

    def _key(self, request: ChatRequest) -> str:
        """JSON, because its quoting keeps two different requests from looking the same."""
        parts = [
            _VERSION,
            self.name,
            request.model,
            request.temperature,
            request.max_tokens,
            [[message.role, message.content] for message in request.messages],
        ]
        return f"chat:{sha256(json.dumps(parts).encode()).hexdigest()}"

    async def _lookup(self, key: str) -> LLMResponse | None:
        known = await self._stored(key)
        self._meter.cache(self.name, hit=known is not None)
        return known

    @observed("cache.lookup")
    async def _stored(self, key: str) -> LLMResponse | None:
        stored = await self._cache.get(key)
        if stored is None:
            return None
        try:
            response = LLMResponse.model_validate_json(stored)
        except ValidationError:
            _log.warning("cache.corrupt", provider=self.name)
            return None
        return response.model_copy(update={"cached": True})

    async def _keep(self, key: str, response: LLMResponse) -> None:
        if response.finish_reason == "stop":
            await self._cache.set(key, response.model_dump_json().encode(), self._ttl_s)


def _replayed(response: LLMResponse) -> list[StreamEvent]:
    content = response.content
    pieces = range(0, len(content), _REPLAY_CHARS)
    deltas = [TextDelta(content[start : start + _REPLAY_CHARS]) for start in pieces]
    return [*deltas, Done(response)]
