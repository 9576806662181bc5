from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from pydantic import ValidationError

from app.cache.base import Cache
from app.llm.model import Model
from app.llm.types import ChatRequest, Done, LLMResponse, StreamEvent, TextDelta
from app.llm.wrappers.request_key import request_key
from app.llm.wrappers.wrapper import Wrapper

_log = structlog.get_logger(__name__)

_REPLAY_CHARS = 64
DEFAULT_TTL_S = 3600.0


class Cached(Wrapper):
    """An equal request gets the same answer, streamed or not.

    Only whole answers are kept: neither errors, nor what a limit or a filter cut off.
    """

    def __init__(self, model: Model, cache: Cache, ttl_s: float = DEFAULT_TTL_S) -> None:
        super().__init__(model)
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
        return f"chat:{request_key(request, provider=self.name)}"

    async def _lookup(self, key: str) -> LLMResponse | None:
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
