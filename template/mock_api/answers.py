"""The simulated model: turns a Prompt, independent of any provider's format, into a Completion."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from mock_api import tokens
from mock_api.refusal import RefusalError
from mock_api.schemas import JsonObject, example

_ECHOED_CHARACTERS = 200


@dataclass(frozen=True)
class Tool:
    name: str
    schema: JsonObject


@dataclass(frozen=True)
class Prompt:
    question: str  # the text of the last user message
    tool_result: str | None  # set if the conversation ends with it
    tokens: int
    max_tokens: int | None = None
    stops: Sequence[str] = ()
    tools: Sequence[Tool] = ()  # the tools to call
    must_call: bool = False  # also after a tool result
    schema: JsonObject | None = None  # the schema of a JSON answer


@dataclass(frozen=True)
class Call:
    """A tool call. `pieces` are the tokens of its arguments as JSON."""

    tool: str
    pieces: Sequence[str]

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Completion:
    """An answer: the tokens of a text, or tool calls."""

    pieces: Sequence[str]
    ended: Literal["done", "length", "stop", "tool"]
    prompt_tokens: int
    calls: Sequence[Call] = ()
    stop: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        return max(1, len(self.pieces) + sum(len(call.pieces) for call in self.calls))


def complete(prompt: Prompt, *, endless_tools: bool = False) -> Completion:
    """Answer a prompt. `endless_tools`: call the tools after a tool result, too."""
    must_call = prompt.must_call or endless_tools
    if prompt.tools and (must_call or prompt.tool_result is None):
        calls = [Call(t.name, tokens.split(_json(_arguments(t)))) for t in prompt.tools]
        return Completion((), "tool", prompt.tokens, calls)
    text, stop = _until_stop(_text(prompt), prompt.stops)
    pieces = tokens.split(text)
    if prompt.max_tokens is not None and len(pieces) > prompt.max_tokens:
        return Completion(pieces[: prompt.max_tokens], "length", prompt.tokens)
    return Completion(pieces, "stop" if stop else "done", prompt.tokens, stop=stop)


Mode = Literal["auto", "none", "must"]


def choose_tools(
    tools: Sequence[Tool], mode: Mode, name: str | None, question: str, *, parallel: bool
) -> Sequence[Tool]:
    """The named tool, else all tools that the question names, else the first tool.

    This model calls tools whenever it is allowed to, and one only if `parallel` is false.
    """
    if mode == "none":
        return ()
    if name is None and (tools or mode == "auto"):
        called = [tool for tool in tools if tool.name in question] or tools[:1]
        return called if parallel else called[:1]
    chosen = [tool for tool in tools if tool.name == name]
    if not chosen:
        raise RefusalError(400, f"no such tool among the tools: {name}", field=("tool_choice",))
    return chosen[:1]


def _arguments(tool: Tool) -> JsonObject:
    arguments = example({"type": "object", **tool.schema})
    if not isinstance(arguments, dict):
        raise RefusalError(
            400, f"the schema of {tool.name} does not describe an object", field=("tools",)
        )
    return arguments


def _text(prompt: Prompt) -> str:
    if prompt.schema is not None:
        return _json(example(prompt.schema))
    if prompt.tool_result is not None:
        return f'This is the mock API. The tool answered: "{_piece(prompt.tool_result)}"'
    return echo(prompt.question)


def echo(question: str) -> str:
    return f'This is the mock API. You said: "{_piece(question)}"'


def _piece(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _ECHOED_CHARACTERS else text[:_ECHOED_CHARACTERS] + "…"


def _until_stop(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    found = [(at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
