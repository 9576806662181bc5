"""The tool loop through the whole stack of guards, in both providers' formats, with the mock API behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from app.llm.tools.function import function_tool
from app.llm.tools.loop import ToolAnswer, ToolLoop
from app.llm.tools.policy import ToolPolicy
from app.llm.tools.telemetry import ToolTelemetry
from app.llm.types import ChatRequest, Message
from app.settings import Settings
from app.testing import CapturedLogs, CapturedMetrics
from app.wiring import Service, open_service
from mock_api.application import create_app as create_mock

both = pytest.mark.parametrize("provider", ["openai", "anthropic"])
POLICY = ToolPolicy(max_rounds=3, timeout_s=0.05)


async def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


async def clock() -> str:
    """The time."""
    return "It is noon."


async def broken() -> str:
    """Fails always."""
    raise LookupError("the tool is down")


async def hanging() -> str:
    """Answers never."""
    await asyncio.sleep(3600)
    return ""


TOOLS = [function_tool(it) for it in (weather, clock, broken, hanging)]


class Stack:
    def __init__(
        self, service: Service, metrics: CapturedMetrics, mock: httpx2.AsyncClient
    ) -> None:
        self.metrics = metrics
        self.mock = mock
        self._loop = ToolLoop(service.chat, TOOLS, POLICY, ToolTelemetry(metrics))

    async def answer(self, question: str, provider: str) -> ToolAnswer:
        request = ChatRequest((Message("user", question),), provider=provider)
        return await self._loop.complete(request)


@asynccontextmanager
async def opened(*, caching: bool = False) -> AsyncIterator[Stack]:
    transport = httpx2.ASGITransport(create_mock())
    metrics = CapturedMetrics()
    settings = Settings(enable_caching=caching)
    async with (
        open_service(settings, transport=transport, metrics=metrics) as service,
        httpx2.AsyncClient(transport=transport, base_url="http://mock") as mock,
    ):
        yield Stack(service, metrics, mock)


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with opened() as it:
        yield it


@both
async def test_parallel_calls_reach_the_model_as_results(stack: Stack, provider: str) -> None:
    answer = await stack.answer("Use weather and clock.", provider)
    assert (answer.end, answer.rounds) == ("answered", 1)
    results = [message.text for message in answer.messages if message.role == "tool"]
    assert results == ["Rain in mock city.", "It is noon."]
    assert "It is noon." in answer.response.content


@both
async def test_a_failing_and_a_hanging_tool_are_results_beside_a_good_one(
    stack: Stack, provider: str
) -> None:
    answer = await stack.answer("Use weather, broken and hanging.", provider)
    results = [message.text for message in answer.messages if message.role == "tool"]
    assert results == [
        "Rain in mock city.",
        "Error: LookupError: the tool is down",
        "Error: the tool did not answer within 0.05 seconds",
    ]
    assert answer.response.finish_reason == "stop"


@both
async def test_endless_calls_are_bounded_and_the_costs_are_those_of_all_calls(
    stack: Stack, provider: str, logs: CapturedLogs
) -> None:
    await stack.mock.put("/_mock/dialect", json={"name": "endless_tools"})
    answer = await stack.answer("Use weather and clock.", provider)
    assert (answer.end, answer.rounds) == ("rounds", 3)
    assert answer.response.content.startswith("This is the mock API.")
    calls = logs.events("llm.call")
    assert [it["finish_reason"] for it in calls] == ["tool_calls"] * 3 + ["stop"]
    assert len(logs.events("tool.call")) == 6
    response = answer.response
    assert response.cost_usd == pytest.approx(sum(it["cost_usd"] for it in calls))
    assert response.cost_usd == pytest.approx(stack.metrics.value("llm_cost_usd_total"))
    assert response.usage.prompt_tokens == sum(it["prompt_tokens"] for it in calls)
    assert response.usage.completion_tokens == sum(it["completion_tokens"] for it in calls)
    (loop,) = logs.events("tool.loop")
    assert (loop["end"], loop["calls"], loop["cost_usd"]) == ("rounds", 6, response.cost_usd)


async def test_an_equal_request_costs_nothing_and_its_tools_run_again() -> None:
    async with opened(caching=True) as stack:
        first = await stack.answer("Use clock.", "openai")
        second = await stack.answer("Use clock.", "openai")
    assert first.response.cost_usd
    assert (first.response.cached, second.response.cached) == (False, True)
    assert second.response.cost_usd == 0
    assert stack.metrics.value("tool_calls_total", tool="clock") == 2
