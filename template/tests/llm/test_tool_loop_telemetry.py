"""Metrics, log and spans of the loop of tools."""

from app.llm.tools.telemetry import ToolTelemetry
from app.testing import CapturedLogs, CapturedMetrics
from tests.llm.tool_loops import answered, call, tool, weather
from tests.telemetry.spans import Spans, facts


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
