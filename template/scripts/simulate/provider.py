"""A provider that answers as OpenAI does, after a time, unless it is down or its limit is reached."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import httpx2 as httpx
import orjson

from scripts.lab.loop import now

_TEXT = "The Zugspitze is the highest mountain of Germany, on the border to Austria. " * 4
_ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80},
    }
)
_DOWN = orjson.dumps({"error": {"message": "The server is overloaded", "type": "server_error"}})
_JSON = {"content-type": "application/json"}


@dataclass
class Provider:
    """`answer_s` is the median time of an answer, and `spread` the part of it that differs.

    An answer takes between 1 - `spread` and 1 + `spread` of the median.
    """

    answer_s: float = 0.5
    spread: float = 0.3
    fails_after_s: float = 0.05
    is_down: bool = False
    seed: int = 1
    called_at: list[float] = field(default_factory=list)
    asked: Counter[bytes] = field(default_factory=Counter)  # the bodies of the calls

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - the same times in each run

    @property
    def asked_again(self) -> int:
        """The calls with a body that was sent before."""
        return sum(count - 1 for count in self.asked.values())

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.called_at.append(now())
        self.asked[await request.aread()] += 1
        if self.is_down:
            await asyncio.sleep(self.fails_after_s)
            return _response(503, _DOWN, request)
        factor = self._random.uniform(1 - self.spread, 1 + self.spread)
        await asyncio.sleep(self.answer_s * factor)
        return _response(200, _ANSWER, request)


def _response(status: int, body: bytes, request: httpx.Request) -> httpx.Response:
    stream = httpx.ByteStream(body)
    return httpx.Response(status, headers=_JSON, stream=stream, request=request)


class Pool(httpx.AsyncBaseTransport):
    """The connections of one process to the provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._provider.answer(request)
