"""The metrics of tool loops: calls of tools, rounds, and how a loop ends."""

from app.telemetry.series import CALL_BUCKETS_S, SeriesRegistry


class ToolMetrics(SeriesRegistry):
    def _measure_tools(self) -> None:
        self._tool_calls = self._counter(
            "tool_calls", "Tool calls of models, by tool and outcome.", ("tool", "outcome")
        )
        self._tool_duration = self._histogram(
            "tool_call_duration_seconds", "Duration of tool calls.", ("tool",), CALL_BUCKETS_S
        )
        self._tool_rounds = self._counter(
            "tool_rounds", "Rounds of tool calls: answers that call tools, and the results.", ()
        )
        self._tool_loops = self._counter(
            "tool_loops",
            "Requests with a tool loop, by their end: answered, a bound, failed or cancelled.",
            ("end",),
        )

    def tool_call(self, tool: str, outcome: str, duration_s: float) -> None:
        self._tool_calls[tool, outcome].inc()
        self._tool_duration[tool].observe(duration_s)

    def tool_loop(self, end: str, rounds: int) -> None:
        self._tool_loops[end].inc()
        self._tool_rounds[()].inc(rounds)
