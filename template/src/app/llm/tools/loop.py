"""Lets a model call tools until it answers, within bounds.

    request → model → tool calls → results → model → … → answer

When a bound is reached, the model is asked once more with `tool_choice` "none", to answer with the
results that it has. Errors of the model end the loop, as they end any other call; errors of a tool
are results.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import structlog

from app.errors import LLMError, NoFinalAnswerError
from app.llm.model import ChatModel
from app.llm.tools.function import FunctionTool
from app.llm.tools.policy import DEFAULT_POLICY, ToolPolicy
from app.llm.tools.runner import Round, ToolRunner
from app.llm.tools.telemetry import NO_TELEMETRY, End, ToolTelemetry
from app.llm.types import ChatRequest, FinishReason, LLMResponse, Message

_log = structlog.get_logger(__name__)

# The provider stopped this answer, so its tool calls are not what the model wants.
_STOPPED: set[FinishReason] = {"content_filter", "refusal"}
_REFUSALS: dict[End, str] = {
    "time": "the time for tools is over; answer with the results so far",
    "cost": "the budget for tools is spent; answer with the results so far",
}


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """`response` is the last answer, with the usage and the cost of all rounds.

    `end` is `answered`, or the bound that ended the rounds. `messages` are the request's messages,
    the tool calls and their results.
    """

    response: LLMResponse
    end: End
    rounds: int
    messages: tuple[Message, ...]


class ToolLoop:
    """A model with tools, for any number of requests.

    A choice of tools that the request makes holds for the first round: a model that has to call a
    tool in every round would never answer.
    """

    def __init__(
        self,
        model: ChatModel,
        tools: Sequence[FunctionTool],
        policy: ToolPolicy = DEFAULT_POLICY,
        telemetry: ToolTelemetry = NO_TELEMETRY,
    ) -> None:
        """Raises `ValueError` if two tools have one name."""
        by_name = {tool.name: tool for tool in tools}
        if len(by_name) < len(tools):
            raise ValueError("two tools have the same name")
        self._model = model
        self._tools = tuple([tool.tool for tool in tools])
        self._policy = policy
        self._telemetry = telemetry
        self._runner = ToolRunner(by_name, policy, telemetry)

    async def complete(self, request: ChatRequest) -> ToolAnswer:
        """Answer a request. Raises the errors of the model, and `NoFinalAnswerError`.

        A cancelled caller cancels the running call to the model, or the running tools.
        """
        talk = _Talk(replace(request, tools=self._tools))
        try:
            return await self._rounds(talk)
        except LLMError:
            talk.end = "failed"
            raise
        finally:
            self._report(talk)

    async def _rounds(self, talk: "_Talk") -> ToolAnswer:
        deadline = asyncio.get_running_loop().time() + self._policy.max_time_s
        while _calls_tools(response := await talk.ask(self._model)):
            reached = self._spent(talk, deadline)
            talk.rounds += 1
            this = Round(talk.rounds, deadline, reached and _REFUSALS[reached])
            results = await self._runner.run(response.tool_calls, this)
            talk.add(response, results)
            if (reached := reached or self._reached(talk, deadline)) is not None:
                return await self._last(talk, reached)
        return talk.answer(response, "answered")

    def _spent(self, talk: "_Talk", deadline: float) -> End | None:
        most = self._policy.max_cost_usd
        if most is not None and talk.known_cost_usd >= most:
            return "cost"
        return "time" if asyncio.get_running_loop().time() >= deadline else None

    def _reached(self, talk: "_Talk", deadline: float) -> End | None:
        return "rounds" if talk.rounds >= self._policy.max_rounds else self._spent(talk, deadline)

    async def _last(self, talk: "_Talk", bound: End) -> ToolAnswer:
        """Ask without tools. Text counts as the answer, even if the model calls a tool beside it."""
        talk.request = replace(talk.request, tool_choice="none")
        response = await talk.ask(self._model)
        if _calls_tools(response) and not response.content.strip():
            raise NoFinalAnswerError(
                f"{response.provider} calls tools and does not answer (bound: {bound})",
                bound=bound,
                provider=response.provider,
            )
        return talk.answer(response, bound)

    def _report(self, talk: "_Talk") -> None:
        self._telemetry.metrics.tool_loop(talk.end, talk.rounds)
        _log.info(
            "tool.loop",
            end=talk.end,
            rounds=talk.rounds,
            calls=talk.calls,
            cost_usd=talk.cost_usd,
            latency_ms=talk.elapsed_ms,
        )


@dataclass(slots=True)
class _Talk:
    """One conversation of the loop: its next request, and the answers so far."""

    request: ChatRequest
    end: End = "cancelled"
    rounds: int = 0
    calls: int = 0
    _answers: list[LLMResponse] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)

    async def ask(self, model: ChatModel) -> LLMResponse:
        response = await model.complete(self.request)
        self._answers.append(response)
        return response

    def add(self, response: LLMResponse, results: Sequence[Message]) -> None:
        self.calls += len(results)
        said = Message("assistant", response.content, response.tool_calls)
        messages = (*self.request.messages, said, *results)
        self.request = replace(self.request, messages=messages, tool_choice=None)

    @property
    def known_cost_usd(self) -> float:
        return math.fsum(answer.cost_usd or 0.0 for answer in self._answers)

    @property
    def cost_usd(self) -> float | None:
        """The sum of all answers; unknown if the cost of one is."""
        unknown = any(answer.cost_usd is None for answer in self._answers)
        return None if unknown else self.known_cost_usd

    @property
    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)

    def answer(self, last: LLMResponse, end: End) -> ToolAnswer:
        self.end = end
        first, *others = [answer.usage for answer in self._answers]
        for usage in others:
            first = first.plus(usage)
        whole = {
            "usage": first,
            "cost_usd": self.cost_usd,
            "cached": all(answer.cached for answer in self._answers),
            "stale": any(answer.stale for answer in self._answers),
            "latency_ms": self.elapsed_ms,
            "tool_calls": (),
            "finish_reason": "stop" if last.finish_reason == "tool_calls" else last.finish_reason,
        }
        response = last.model_copy(update=whole)
        return ToolAnswer(response, end, self.rounds, self.request.messages)


def _calls_tools(response: LLMResponse) -> bool:
    return bool(response.tool_calls) and response.finish_reason not in _STOPPED
