"""Runs the tool calls of one round: at the same time within a bound, each with its own time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from app.llm.tools.failures import (
    NotRunError,
    ToolCallError,
    ToolFailedError,
    ToolTimeoutError,
    UnknownToolError,
)
from app.llm.tools.function import FunctionTool
from app.llm.tools.policy import ToolPolicy
from app.llm.tools.telemetry import UNKNOWN, ToolRecord, ToolTelemetry
from app.llm.types import Message, ToolCall
from app.resilience.concurrency import gather_bounded

_SHOWN_NAME_CHARS = 64
_CUT = "… (cut)"


@dataclass(frozen=True, slots=True)
class Round:
    """`deadline` is a time of the event loop; `refusal` is the reason to run no call at all."""

    number: int
    deadline: float
    refusal: str | None = None


class ToolRunner:
    def __init__(
        self, tools: Mapping[str, FunctionTool], policy: ToolPolicy, telemetry: ToolTelemetry
    ) -> None:
        self._tools = tools
        self._policy = policy
        self._telemetry = telemetry

    async def run(self, calls: Sequence[ToolCall], this: Round) -> list[Message]:
        """The result of each call, in order. A call that fails has its error as the result.

        If the caller is cancelled, the running tools are cancelled and awaited.
        """

        async def run_one(index: int) -> str:
            return await self._run(calls[index], self._within_bounds(this, index))

        limit = self._policy.concurrency
        results = await gather_bounded(range(len(calls)), run_one, limit=limit, catch=ToolCallError)
        return [
            Message("tool", _text(result), tool_call_id=call.id)
            for call, result in zip(calls, results, strict=True)
        ]

    def _within_bounds(self, this: Round, index: int) -> Round:
        most = self._policy.max_calls
        if this.refusal is not None or index < most:
            return this
        return Round(this.number, this.deadline, f"at most {most} tools may be called at once")

    async def _run(self, call: ToolCall, this: Round) -> str:
        tool = self._tools.get(call.name)
        name = UNKNOWN if tool is None else tool.name
        record = ToolRecord(self._telemetry, call, name, this.number)
        try:
            with record.span():
                return record.succeeded(await self._result(call, tool, this))
        except ToolCallError as error:
            record.failed(error)
            raise
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise record.failed(ToolFailedError(error)) from error  # only the tool's own work was
        except Exception as error:  # whatever a tool raises is a result for the model
            raise record.failed(ToolFailedError(error)) from error
        finally:
            record.report()

    async def _result(self, call: ToolCall, tool: FunctionTool | None, this: Round) -> str:
        if this.refusal is not None:
            raise NotRunError(f"the tool was not called: {this.refusal}")
        if tool is None:
            name, known = call.name[:_SHOWN_NAME_CHARS], ", ".join(self._tools)
            raise UnknownToolError(f"there is no tool {name!r}; the tools are: {known}")
        left_s = this.deadline - asyncio.get_running_loop().time()
        if left_s <= 0:  # the calls before this one in the round took all of it
            raise NotRunError("the tool was not called: the time for tools is over")
        timeout_s = min(tool.timeout_s or self._policy.timeout_s, left_s)
        value = await _called(tool, call.arguments, timeout_s)
        return _cut(value, tool.result_chars or self._policy.result_chars)


async def _called(tool: FunctionTool, arguments: str, timeout_s: float) -> str:
    running = tool.call(arguments)
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return _as_text(await running)
    except TimeoutError as error:
        if limit.expired():
            raise ToolTimeoutError(timeout_s) from error
        raise  # a timeout of the tool's own


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _as_text(value: object) -> str:
    """Text as it is, without half surrogate pairs, which JSON in UTF-8 cannot have."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return to_json(value).decode()


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[:chars] + _CUT


def _text(result: str | ToolCallError) -> str:
    return result if isinstance(result, str) else result.text
