"""What a model would have said: a Prompt, free of any provider's format, becomes a Completion."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from mock_api import tokens
from mock_api.refusal import Refusal
from mock_api.schemas import JsonObject, example

_ECHOED_CHARACTERS = 200


@dataclass(frozen=True)
class Tool:
    name: str
    schema: JsonObject


@dataclass(frozen=True)
class Prompt:
    question: str  # the last thing the user said
    tool_result: str | None  # set when the conversation ends with it
    tokens: int
    max_tokens: int | None = None
    stops: Sequence[str] = ()
    tool: Tool | None = None  # to be called
    schema: JsonObject | None = None  # of a JSON answer


@dataclass(frozen=True)
class Completion:
    """`pieces` are the tokens of the text, or of the tool's arguments as JSON."""

    pieces: Sequence[str]
    ended: Literal["done", "length", "stop", "tool"]
    prompt_tokens: int
    tool: str | None = None
    stop: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        return max(1, len(self.pieces))


def complete(prompt: Prompt) -> Completion:
    if prompt.tool is not None and prompt.tool_result is None:
        pieces = tokens.split(_json(_arguments(prompt.tool)))
        return Completion(pieces, "tool", prompt.tokens, tool=prompt.tool.name)
    text, stop = _until_stop(_text(prompt), prompt.stops)
    pieces = tokens.split(text)
    if prompt.max_tokens is not None and len(pieces) > prompt.max_tokens:
        return Completion(pieces[: prompt.max_tokens], "length", prompt.tokens)
    return Completion(pieces, "stop" if stop else "done", prompt.tokens, stop=stop)


def choose_tool(
    tools: Sequence[Tool], mode: Literal["auto", "none", "must"], name: str | None
) -> Tool | None:
    """The named tool, else the first: this model always uses a tool when it may."""
    if mode == "none":
        return None
    if name is None and (tools or mode == "auto"):
        return tools[0] if tools else None
    chosen = next((tool for tool in tools if tool.name == name), None)
    if chosen is None:
        raise Refusal(400, f"no such tool among the tools: {name}", field=("tool_choice",))
    return chosen


def _arguments(tool: Tool) -> JsonObject:
    arguments = example({"type": "object", **tool.schema})
    if not isinstance(arguments, dict):
        raise Refusal(
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
