"""The cost of a call is counted for every end: answered, broken off, cancelled."""

from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

import httpx2
import orjson
import pytest
from pydantic import SecretStr

from app.errors import LLMError
from app.llm.guards.guard import stacked
from app.llm.guards.instrumented import Billed, Instrumented
from app.llm.http import Connections, HTTPPolicy, open_connections
from app.llm.model import Model
from app.llm.price_files import parse_prices
from app.llm.providers.anthropic.client import AnthropicChat
from app.llm.providers.openai.client import OpenAI
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, Message
from app.testing import CapturedLogs, CapturedMetrics

MICRO = 1_000_000
PRICES = parse_prices(
    "as_of = 2026-12-01\n[models]\n"
    + "\n".join(
        f"{provider}.m = {{ prompt = 1, cached_prompt = 0.5, completion = 10 }}"
        for provider in ("fake", "openai", "anthropic")
    )
)
CLIENTS: dict[str, Callable[[ProviderPolicy, Connections], Model]] = {
    "openai": OpenAI,
    "anthropic": AnthropicChat,
}
REQUEST = ChatRequest(messages=(Message("user", "Hi"),), model="m")


def events(*items: object, ending: str = "") -> str:
    return "".join(f"data: {orjson.dumps(item).decode()}\n\n" for item in items) + ending


def chunk(**fields: object) -> dict[str, object]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}


def delta(text: str, finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}


USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 15},
}
OPENAI_CUT = events(chunk(choices=[delta("a text of 24 characters.")]))
OPENAI_CUT_AFTER_USAGE = events(
    chunk(choices=[delta("Hi", "stop")]), chunk(choices=[], usage=USAGE)
)
START = {
    "type": "message_start",
    "message": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {"input_tokens": 60, "cache_read_input_tokens": 40, "output_tokens": 1},
    },
}
TEXT = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "a text of 24 characters."},
}
STOP = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 20},
}
ANTHROPIC_CUT = events(START, TEXT)
ANTHROPIC_CUT_AFTER_USAGE = events(START, TEXT, STOP)
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}


@dataclass
class Counted:
    metrics: CapturedMetrics
    line: dict[str, object]

    def tokens(self, kind: str) -> float:
        return self.metrics.value("llm_tokens_total", kind=kind)

    @property
    def microdollars(self) -> float:
        return round(self.metrics.value("llm_cost_usd_total") * MICRO, 6)

    @property
    def unknown(self) -> set[str]:
        family = "llm_calls_of_unknown_cost_total"
        reasons = ("no_price", "no_usage", "timed_out", "interrupted", "malformed", "cancelled")
        return {reason for reason in reasons if self.metrics.value(family, reason=reason)}


async def asked(
    provider: str, body: str, logs: CapturedLogs, *, stream: bool = True, read: int = 99
) -> Counted:
    """Ask a provider that answers with `body`, and leave its stream after `read` events."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        kind = "text/event-stream" if stream else "application/json"
        return httpx2.Response(200, text=body, headers={"content-type": kind})

    metrics = CapturedMetrics()
    policy = ProviderPolicy("http://provider", "m", SecretStr("k"))
    async with open_connections(HTTPPolicy(), httpx2.MockTransport(answer)) as connections:
        model = stacked(
            CLIENTS[provider](policy, connections),
            [Instrumented(metrics, models={"m"}), Billed(PRICES)],
        )
        with suppress(LLMError):
            await (read_pieces(model, read) if stream else model.complete(REQUEST))
    return Counted(metrics, logs.events("llm.call")[-1])


async def read_pieces(model: Model, count: int, request: ChatRequest = REQUEST) -> None:
    async with aclosing(model.stream(request)) as stream:
        async for _ in stream:
            count -= 1
            if not count:
                return


async def test_a_stream_that_anthropic_cuts_costs_its_prompt(logs: CapturedLogs) -> None:
    found = await asked("anthropic", ANTHROPIC_CUT, logs)
    assert (found.tokens("prompt"), found.tokens("cached_prompt")) == (100, 40)
    assert found.tokens("completion") == 1
    assert found.microdollars == 60 + 20 + 10
    assert found.unknown == {"interrupted"}
    assert found.line["cost_unknown"] == "interrupted"
    assert found.line["completion_tokens_estimated"] == 6
    assert found.line["prompt_tokens"] == 100


async def test_a_stream_closed_by_its_reader_costs_the_reported_tokens(logs: CapturedLogs) -> None:
    found = await asked("anthropic", ANTHROPIC_CUT, logs, read=1)
    assert found.line["outcome"] == "cancelled"
    assert (found.tokens("prompt"), found.unknown) == (100, {"cancelled"})


async def test_a_stream_that_openai_cuts_is_of_unknown_cost(logs: CapturedLogs) -> None:
    found = await asked("openai", OPENAI_CUT, logs)
    assert (found.tokens("prompt"), found.microdollars) == (0, 0)
    assert found.unknown == {"interrupted"}
    assert found.line["completion_tokens_estimated"] == 6
    assert "completion_tokens" not in found.line


@pytest.mark.parametrize(
    ("provider", "body"),
    [("openai", OPENAI_CUT_AFTER_USAGE), ("anthropic", ANTHROPIC_CUT_AFTER_USAGE)],
)
async def test_a_stream_that_is_cut_after_its_usage_costs_exactly_that(
    provider: str, body: str, logs: CapturedLogs
) -> None:
    """Its finish was there as well, so it is whole."""
    found = await asked(provider, body, logs)
    assert found.line["outcome"] == "ok"
    assert found.microdollars == 60 + 20 + 200
    assert found.unknown == set()
    assert "completion_tokens_estimated" not in found.line


async def test_an_error_within_a_stream_that_had_begun_is_of_unknown_cost(
    logs: CapturedLogs,
) -> None:
    found = await asked("anthropic", events(START, TEXT, OVERLOADED), logs)
    assert found.line["outcome"] == "ProviderUnavailableError"
    assert (found.tokens("prompt"), found.unknown) == (100, {"interrupted"})


@pytest.mark.parametrize(
    ("provider", "body", "microdollars"),
    [
        ("openai", {"choices": [], "usage": USAGE}, 280),
        ("openai", {"choices": "nonsense", "usage": USAGE}, 280),
        ("anthropic", {"content": 7, "usage": {"input_tokens": 9, "output_tokens": 1}}, 19),
    ],
    ids=["no choices", "wrong choices", "wrong content"],
)
async def test_an_answer_that_cannot_be_read_costs_its_usage(
    provider: str, body: dict[str, object], microdollars: int, logs: CapturedLogs
) -> None:
    found = await asked(provider, orjson.dumps(body).decode(), logs, stream=False)
    assert found.line["outcome"] == "MalformedAnswerError"
    assert (found.microdollars, found.unknown) == (microdollars, set())


@pytest.mark.parametrize("body", ["no JSON", "[]", "{}", '{"usage": 7}', '{"usage": {"a": 1}}'])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_an_answer_without_a_readable_usage_is_of_unknown_cost(
    provider: str, body: str, logs: CapturedLogs
) -> None:
    found = await asked(provider, body, logs, stream=False)
    assert (found.microdollars, found.unknown) == (0, {"malformed"})


async def test_cached_and_reasoning_tokens_are_named(logs: CapturedLogs) -> None:
    found = await asked("openai", OPENAI_CUT_AFTER_USAGE + "data: [DONE]\n\n", logs)
    assert (found.line["cached_prompt_tokens"], found.line["reasoning_tokens"]) == (40, 15)
    assert (found.tokens("cached_prompt"), found.tokens("reasoning")) == (40, 15)
    assert found.microdollars == 280
