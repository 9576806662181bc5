"""The loop of tools ends: by rounds, time, cost and calls of a round."""

import asyncio

import pytest

from app.errors import NoFinalAnswerError
from app.llm.tools.loop import ToolLoop
from app.llm.tools.policy import ToolPolicy
from app.llm.tools.telemetry import ToolTelemetry
from app.llm.types import LLMResponse
from app.testing import CapturedLogs, CapturedMetrics, FakeChatModel
from tests.llm.tool_loops import ASKED, answered, call, results, tool, weather


async def test_endless_calls_end_after_the_rounds_with_an_answer_without_tools() -> None:
    policy = ToolPolicy(max_rounds=3)
    answer, model = await answered([call()], [call()], [call()], "Enough: rain.", policy=policy)
    assert (answer.response.content, answer.end, answer.rounds) == ("Enough: rain.", "rounds", 3)
    assert [request.tool_choice for request in model.requests] == [None, None, None, "none"]
    assert len(model.requests[-1].tools) == 1  # Anthropic needs them beside earlier calls


async def test_a_model_that_never_answers_is_a_typed_error(logs: CapturedLogs) -> None:
    metrics = CapturedMetrics()
    with pytest.raises(NoFinalAnswerError, match="fake calls tools and does not answer") as failed:
        await answered([call()], policy=ToolPolicy(max_rounds=2), telemetry=ToolTelemetry(metrics))
    assert (failed.value.bound, failed.value.provider) == ("rounds", "fake")
    assert metrics.value("tool_loops_total", end="failed") == 1
    (line,) = logs.events("tool.loop")
    assert (line["end"], line["rounds"]) == ("failed", 2)


async def test_text_beside_forbidden_calls_is_the_answer() -> None:
    answer, _ = await answered([call()], ["Rain.", call()], policy=ToolPolicy(max_rounds=1))
    assert (answer.response.content, answer.response.tool_calls) == ("Rain.", ())
    assert answer.response.finish_reason == "stop"


async def test_the_time_of_the_loop_ends_running_tools_and_the_model_answers() -> None:
    async def slow(city: str) -> str:
        await asyncio.sleep(3600)
        return city

    calls = [call("slow", id_="1"), call("slow", id_="2")]
    policy = ToolPolicy(max_time_s=0.05, concurrency=1)
    answer, model = await answered(calls, "No time.", tools=[tool(slow)], policy=policy)
    assert (answer.response.content, answer.end, answer.rounds) == ("No time.", "time", 1)
    first, second = [text for _, text in results(answer)]
    assert first.startswith("Error: the tool did not answer within 0.0")
    assert second == "Error: the tool was not called: the time for tools is over"
    assert model.requests[-1].tool_choice == "none"


class Priced(FakeChatModel):
    """A model with answers that cost 0.01 dollars each, or an unknown amount from `unknown` on."""

    unknown = 99

    def response(self, content: str) -> LLMResponse:
        number = len(self.requests)
        cost_usd = None if number >= self.unknown else 0.01
        return super().response(content).model_copy(update={"cost_usd": cost_usd})


async def test_the_cost_ends_the_rounds_before_another_tool_runs() -> None:
    called = []

    async def costly() -> str:
        called.append(1)
        return "x"

    model = Priced([call("costly", "")], [call("costly", "")], "Too dear.")
    loop = ToolLoop(model, [tool(costly)], ToolPolicy(max_cost_usd=0.02))
    answer = await loop.complete(ASKED)
    assert (answer.response.content, answer.end, answer.rounds) == ("Too dear.", "cost", 2)
    assert len(called) == 1
    assert results(answer)[1][1].startswith("Error: the tool was not called: the budget")
    assert answer.response.cost_usd == pytest.approx(0.03)


async def test_usage_and_cost_are_the_sum_of_all_rounds() -> None:
    model = Priced([call()], [call()], "Rain.")
    answer = await ToolLoop(model, [tool(weather)]).complete(ASKED)
    usage = answer.response.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 15, 24)
    assert answer.response.cost_usd == pytest.approx(0.03)
    assert answer.response.cached is False


async def test_one_unknown_cost_makes_the_sum_unknown_and_not_too_small() -> None:
    model = Priced([call()], "Rain.")
    model.unknown = 2
    answer = await ToolLoop(model, [tool(weather)]).complete(ASKED)
    assert answer.response.cost_usd is None


async def test_more_calls_than_allowed_in_a_round_are_not_run() -> None:
    calls = [call(id_=str(n)) for n in range(3)]
    answer, _ = await answered(calls, "Rain.", policy=ToolPolicy(max_calls=2))
    assert [text for _, text in results(answer)] == [
        "Rain in Bonn",
        "Rain in Bonn",
        "Error: the tool was not called: at most 2 tools may be called at once",
    ]
