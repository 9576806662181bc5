"""A messages request as a prompt, and a completion as Anthropic's answer."""

from typing import Literal

import orjson

from mock_api import tokens
from mock_api.answers import Completion, Prompt, Tool, choose_tool
from mock_api.anthropic.requests import Block as AskedBlock
from mock_api.anthropic.requests import Message as AskedMessage
from mock_api.anthropic.requests import MessagesRequest
from mock_api.anthropic.wire import Block, Message, StopReason, Usage
from mock_api.schemas import JsonObject

STOP_REASONS: dict[str, StopReason] = {
    "done": "end_turn",
    "stop": "stop_sequence",
    "length": "max_tokens",
    "tool": "tool_use",
}
_MODES: dict[str, Literal["auto", "none", "must"]] = {"auto": "auto", "none": "none"}


def prompt_of(request: MessagesRequest) -> Prompt:
    asked = [message for message in request.messages if message.role == "user"]
    blocks = [*(request.system or ()), *[b for m in request.messages for b in m.content]]
    return Prompt(
        question=asked[-1].text if asked else "",
        tool_result=_tool_result(request.messages[-1]),
        tokens=max(1, sum(_count(block) for block in blocks)),
        max_tokens=request.max_tokens,
        stops=[stop for stop in request.stop_sequences or () if stop],
        tool=_tool(request),
        schema=_schema(request),
    )


def answer(request: MessagesRequest, completion: Completion, digest: str) -> Message:
    return {
        "id": f"msg_{digest}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [_block(completion, digest)] if completion.pieces else [],
        "stop_reason": STOP_REASONS[completion.ended],
        "stop_sequence": completion.stop,
        "usage": usage(completion.prompt_tokens, completion.tokens),
    }


def usage(input_tokens: int, output_tokens: int) -> Usage:
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
    }


def _block(completion: Completion, digest: str) -> Block:
    if completion.tool is None:
        return {"type": "text", "text": completion.text}
    arguments: JsonObject = orjson.loads(completion.text)
    return {
        "type": "tool_use",
        "id": f"toolu_{digest}",
        "name": completion.tool,
        "input": arguments,
    }


def _tool_result(last: AskedMessage) -> str | None:
    results = [block.plain for block in last.content if block.type == "tool_result"]
    return "\n".join(results) if results else None


def _count(block: AskedBlock) -> int:
    used = "" if block.input is None else orjson.dumps(block.input).decode()
    return tokens.count(block.plain) + tokens.count(used)


def _tool(request: MessagesRequest) -> Tool | None:
    tools = [
        Tool(tool.name, tool.input_schema)
        for tool in request.tools or ()
        if tool.input_schema is not None
    ]
    choice = request.tool_choice
    if choice is None:
        return choose_tool(tools, "auto", None)
    return choose_tool(tools, _MODES.get(choice.type, "must"), choice.name)


def _schema(request: MessagesRequest) -> JsonObject | None:
    wanted = request.output_config and request.output_config.format
    return wanted.schema_ if wanted else None
