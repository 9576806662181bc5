"""A model that calls tools: results, failures, bounds, costs, cancellation. The model is a fake."""

import asyncio
from collections.abc import Callable

import pytest

from app.errors import NoFinalAnswerError, ProviderTimeoutError, RateLimitError
from app.llm.tools.function import FunctionTool, function_tool
from app.llm.tools.loop import ToolAnswer, ToolLoop
from app.llm.tools.policy import ToolPolicy
from app.llm.tools.telemetry import ToolTelemetry
from app.llm.types import ChatRequest, LLMResponse, Message, NamedTool, ToolCall, ToolChoice
from app.telemetry.known_secrets import KNOWN
from app.testing import CapturedLogs, CapturedMetrics, FakeChatModel, Turn
from tests.telemetry.spans import Spans, facts

ASKED = ChatRequest((Message("user", "How is the weather?"),), tenant="acme")
SECRET = "canary-of-the-weather-service"


def call(name: str = "weather", arguments: str = '{"city": "Bonn"}', id_: str = "1") -> ToolCall:
    return ToolCall(id=id_, name=name, arguments=arguments)


async def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}"


def tool(function: Callable[..., object], *, timeout_s: float | None = None) -> FunctionTool:
    function.__doc__ = function.__doc__ or "A tool."
    return function_tool(function, timeout_s=timeout_s)  # type: ignore[arg-type]


def results(answer: ToolAnswer) -> list[tuple[str | None, str]]:
    return [(it.tool_call_id, it.text) for it in answer.messages if it.role == "tool"]


async def answered(
    *turns: Turn,
    tools: list[FunctionTool] | None = None,
    policy: ToolPolicy | None = None,
    telemetry: ToolTelemetry | None = None,
) -> tuple[ToolAnswer, FakeChatModel]:
    model = FakeChatModel(*turns)
    loop = ToolLoop(
        model, tools or [tool(weather)], policy or ToolPolicy(), telemetry or ToolTelemetry()
    )
    return await loop.complete(ASKED), model


async def test_an_answer_without_tool_calls_is_the_answer() -> None:
    answer, model = await answered("Sunny.")
    assert (answer.response.content, answer.end, answer.rounds) == ("Sunny.", "answered", 0)
    (request,) = model.requests
    assert [it.name for it in request.tools] == ["weather"]
    assert (request.tenant, request.tool_choice) == ("acme", None)


async def test_results_follow_the_calls_in_order_and_the_model_answers_with_them() -> None:
    first = [call(), call(arguments='{"city": "Ulm"}', id_="2")]
    answer, model = await answered(["Let me see.", *first], "It rains in both.")
    assert (answer.response.content, answer.end, answer.rounds) == (
        "It rains in both.",
        "answered",
        1,
    )
    assert model.requests[1].messages == (
        *ASKED.messages,
        Message("assistant", "Let me see.", tuple(first)),
        Message("tool", "Rain in Bonn", tool_call_id="1"),
        Message("tool", "Rain in Ulm", tool_call_id="2"),
    )
    assert answer.messages == model.requests[1].messages
    assert answer.response.tool_calls == ()


async def test_calls_of_one_round_run_at_the_same_time_within_the_bound() -> None:
    running, most = 0, 0

    async def slow(number: int) -> int:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.005)
        running -= 1
        return number

    calls = [call("slow", f'{{"number": {n}}}', str(n)) for n in range(7)]
    answer, _ = await answered(calls, "Done.", tools=[tool(slow)], policy=ToolPolicy(concurrency=3))
    assert most == 3
    assert results(answer) == [(str(n), str(n)) for n in range(7)]


async def test_a_failing_tool_is_an_error_for_the_model_and_the_others_still_answer(
    logs: CapturedLogs,
) -> None:
    KNOWN.add([SECRET])

    async def broken(city: str) -> str:
        raise ValueError(f"no {city} with {SECRET}\n" + "x" * 500)

    answer, _ = await answered(
        [call("broken"), call(id_="2")], "Sorry.", tools=[tool(broken), tool(weather)]
    )
    (_, error), (_, other) = results(answer)
    assert error.startswith("Error: ValueError: no Bonn with ***\n")
    assert len(error) < 350
    assert other == "Rain in Bonn"
    failed, _ = logs.events("tool.call")
    assert (failed["level"], failed["outcome"], failed["error"]) == (
        "warning",
        "error",
        "ValueError",
    )
    assert failed["exception"][0]["exc_type"] == "ValueError"
    assert SECRET not in logs.text + str(answer)


async def test_our_own_error_is_its_message_without_a_traceback(logs: CapturedLogs) -> None:
    async def search() -> str:
        raise ProviderTimeoutError("openai did not answer in time")

    answer, _ = await answered([call("search", "{}")], "Sorry.", tools=[tool(search)])
    assert results(answer) == [("1", "Error: ProviderTimeoutError: openai did not answer in time")]
    (line,) = logs.events("tool.call")
    assert "exception" not in line


async def test_a_tool_that_hangs_ends_at_its_own_timeout() -> None:
    ended = []

    async def hanging(city: str) -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(city)
        return city

    answer, _ = await answered(
        [call("hanging"), call(id_="2")],
        "Sorry.",
        tools=[tool(hanging, timeout_s=0.02), tool(weather)],
    )
    assert results(answer) == [
        ("1", "Error: the tool did not answer within 0.02 seconds"),
        ("2", "Rain in Bonn"),
    ]
    assert ended == ["Bonn"]


async def test_a_timeout_inside_a_tool_is_an_error_of_the_tool() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)

    answer, _ = await answered([call("impatient", "")], "Sorry.", tools=[tool(impatient)])
    assert results(answer) == [("1", "Error: TimeoutError")]


async def test_a_tool_that_cancels_its_own_work_is_an_error_and_the_loop_goes_on() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    answer, _ = await answered([call("cancelled", "")], "Sorry.", tools=[tool(cancelled)])
    assert results(answer) == [("1", "Error: CancelledError")]
    assert answer.response.content == "Sorry."


@pytest.mark.parametrize(
    ("asked", "result"),
    [
        pytest.param(
            call(arguments='{"town": 1}'),
            "Error: invalid arguments: city: Missing required argument; "
            "town: Unexpected keyword argument",
            id="bad arguments",
        ),
        pytest.param(
            call("wind"), "Error: there is no tool 'wind'; the tools are: weather", id="unknown"
        ),
    ],
)
async def test_a_call_that_cannot_be_made_tells_the_model_why(asked: ToolCall, result: str) -> None:
    answer, _ = await answered([asked], "Sorry.")
    assert results(answer) == [("1", result)]
    assert answer.response.content == "Sorry."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({"a": [1, None]}, '{"a":[1,null]}', id="JSON"),
        pytest.param("half \ud800", "half \\ud800", id="half a surrogate pair"),
        pytest.param("x" * 101, "x" * 100 + "… (cut)", id="too long"),
        pytest.param(object(), "Error: PydanticSerializationError: ", id="not JSON"),
    ],
)
async def test_a_result_is_text_that_a_request_can_have(value: object, text: str) -> None:
    async def any_value() -> object:
        return value

    policy = ToolPolicy(result_chars=100)
    answer, _ = await answered(
        [call("any_value", "")], "Done.", tools=[tool(any_value)], policy=policy
    )
    ((_, result),) = results(answer)
    assert result.startswith(text)


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


@pytest.mark.parametrize("choice", ["required", NamedTool("weather")])
async def test_a_forced_call_is_forced_in_the_first_round_only(choice: ToolChoice) -> None:
    model = FakeChatModel([call()], "Rain.")
    request = ChatRequest(ASKED.messages, tool_choice=choice)
    await ToolLoop(model, [tool(weather)]).complete(request)
    assert [it.tool_choice for it in model.requests] == [choice, None]


async def test_calls_of_a_refused_answer_are_not_run() -> None:
    class Refusing(FakeChatModel):
        async def complete(self, request: ChatRequest) -> LLMResponse:
            response = await super().complete(request)
            return response.model_copy(update={"finish_reason": "refusal"})

    answer = await ToolLoop(Refusing(["No.", call()]), [tool(weather)]).complete(ASKED)
    assert (answer.rounds, answer.response.finish_reason) == (0, "refusal")


async def test_an_error_of_the_model_ends_the_loop_as_it_is() -> None:
    with pytest.raises(RateLimitError):
        await answered([call()], RateLimitError("busy"))


async def test_a_cancelled_caller_cancels_the_running_tools_and_waits_for_them(
    logs: CapturedLogs,
) -> None:
    metrics = CapturedMetrics()
    started, ended = asyncio.Event(), []

    async def hanging(city: str) -> str:
        started.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(city)
        return city

    calls = [call("hanging"), call("hanging", id_="2")]
    running = asyncio.create_task(
        answered(calls, "x", tools=[tool(hanging)], telemetry=ToolTelemetry(metrics))
    )
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["Bonn", "Bonn"]
    assert metrics.value("tool_calls_total", tool="hanging", outcome="cancelled") == 2
    assert metrics.value("tool_loops_total", end="cancelled") == 1
    assert {line["outcome"] for line in logs.events("tool.call")} == {"cancelled"}


async def test_two_tools_with_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        ToolLoop(FakeChatModel(), [tool(weather), tool(weather)])


async def test_calls_are_counted_by_tool_and_outcome_and_an_invented_name_is_no_label() -> None:
    metrics = CapturedMetrics()
    first = [call(), call(arguments="{}"), call("invented-1"), call("invented-2")]
    await answered(first, [call()], "Rain.", telemetry=ToolTelemetry(metrics))
    assert metrics.value("tool_calls_total", tool="weather", outcome="ok") == 2
    assert metrics.value("tool_calls_total", tool="weather", outcome="invalid_arguments") == 1
    assert metrics.value("tool_calls_total", tool="unknown", outcome="unknown_tool") == 2
    assert metrics.value("tool_call_duration_seconds_count", tool="weather") == 3
    assert metrics.value("tool_rounds_total") == 2
    assert metrics.value("tool_loops_total", end="answered") == 1
    assert "invented" not in metrics.exposition()[0].decode()


async def test_the_log_has_each_call_and_texts_only_with_previews(logs: CapturedLogs) -> None:
    first = [call(), call("invented", id_="2")]
    await answered(first, "Rain.")
    assert "Bonn" not in logs.text
    assert "invented" not in logs.text
    known, unknown = logs.events("tool.call")
    assert known["tool"] == "weather"
    assert (known["call_id"], known["round"], known["outcome"]) == ("1", 1, "ok")
    assert known["latency_ms"] >= 0
    assert (unknown["tool"], unknown["outcome"]) == ("unknown", "unknown_tool")
    (loop,) = logs.events("tool.loop")
    assert (loop["end"], loop["rounds"], loop["calls"]) == ("answered", 1, 2)

    await answered(first, "Rain.", telemetry=ToolTelemetry(previews=True))
    *_, known, unknown = logs.events("tool.call")
    assert (known["arguments"], known["result"]) == ('{"city": "Bonn"}', "Rain in Bonn")
    assert unknown["named"] == "invented"


async def test_a_call_is_a_span_in_the_words_of_the_genai_conventions() -> None:
    spans = Spans()

    async def broken(city: str) -> str:
        raise ValueError(city)

    first = [call(), call("broken", id_="2")]
    telemetry = ToolTelemetry(tracer=spans.tracer)
    await answered(first, "Rain.", tools=[tool(weather), tool(broken)], telemetry=telemetry)
    assert facts(spans.one("execute_tool weather")) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "weather",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "1",
    }
    assert facts(spans.one("execute_tool broken"))["error.type"] == "ValueError"
    assert "Bonn" not in spans.text

    telemetry = ToolTelemetry(tracer=spans.tracer, previews=True)
    await answered([call(id_="3")], "Rain.", telemetry=telemetry)
    shown = facts(spans.all[-1])
    assert shown["gen_ai.tool.call.arguments"] == '{"city": "Bonn"}'
    assert shown["gen_ai.tool.call.result"] == "Rain in Bonn"
