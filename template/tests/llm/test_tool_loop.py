"""A model that calls tools: results, failures, cancellation. The model is a fake."""

import asyncio

import pytest

from app.errors import ProviderTimeoutError, RateLimitError
from app.llm.tools.loop import ToolLoop
from app.llm.tools.policy import ToolPolicy
from app.llm.tools.telemetry import ToolTelemetry
from app.llm.types import ChatRequest, LLMResponse, Message, NamedTool, ToolCall, ToolChoice
from app.telemetry.redaction import KNOWN
from app.testing import CapturedLogs, CapturedMetrics, FakeChatModel
from tests.llm.tool_loops import ASKED, answered, call, results, tool, weather

SECRET = "canary-of-the-weather-service"


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
