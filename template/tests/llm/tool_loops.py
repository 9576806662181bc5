"""A loop over a fake model and a tool, for its tests."""

from collections.abc import Callable

from app.llm.tools.function import FunctionTool, function_tool
from app.llm.tools.loop import ToolAnswer, ToolLoop
from app.llm.tools.policy import ToolPolicy
from app.llm.tools.telemetry import ToolTelemetry
from app.llm.types import ChatRequest, Message, ToolCall
from app.testing import FakeChatModel, Turn

ASKED = ChatRequest((Message("user", "How is the weather?"),), tenant="acme")


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
