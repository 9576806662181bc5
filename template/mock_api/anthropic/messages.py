"""Converts a messages request to a prompt, and a completion to Anthropic's answer."""

from collections.abc import Sequence

import orjson

from mock_api import tokens
from mock_api.answers import Completion, Mode, Prompt, Tool, choose_tools
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
_MODES: dict[str, Mode] = {"auto": "auto", "none": "none"}


def prompt_of(request: MessagesRequest) -> Prompt:
    question = _question(request)
    blocks = [*(request.system or ()), *[b for m in request.messages for b in m.content]]
    return Prompt(
        question=question,
        tool_result=_tool_result(request.messages[-1]),
        tokens=max(1, sum(_count(block) for block in blocks)),
        max_tokens=request.max_tokens,
        stops=[stop for stop in request.stop_sequences or () if stop],
        tools=_tools(request, question),
        must_call=request.tool_choice is not None and request.tool_choice.type == "any",
        schema=_schema(request),
    )


def answer(request: MessagesRequest, completion: Completion, digest: str) -> Message:
    return {
        "id": f"msg_{digest}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": _blocks(completion, digest),
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


def _blocks(completion: Completion, digest: str) -> list[Block]:
    blocks: list[Block] = []
    if completion.pieces:
        blocks.append({"type": "text", "text": completion.text})
    for index, call in enumerate(completion.calls):
        arguments: JsonObject = orjson.loads(call.arguments)
        call_id = f"toolu_{digest}" if index == 0 else f"toolu_{digest}_{index}"
        blocks.append({"type": "tool_use", "id": call_id, "name": call.tool, "input": arguments})
    return blocks


def _question(request: MessagesRequest) -> str:
    """The last text of the user; results of tools are messages of the user, too."""
    texts = (_plain(m) for m in reversed(request.messages) if m.role == "user")
    return next((text for text in texts if text), "")


def _plain(message: AskedMessage) -> str:
    blocks = (block.plain for block in message.content if block.type != "tool_result")
    return "\n".join(blocks).strip()


def _tool_result(last: AskedMessage) -> str | None:
    results = [block.plain for block in last.content if block.type == "tool_result"]
    return "\n".join(results) if results else None


def _count(block: AskedBlock) -> int:
    used = "" if block.input is None else orjson.dumps(block.input).decode()
    return tokens.count(block.plain) + tokens.count(used)


def _tools(request: MessagesRequest, question: str) -> Sequence[Tool]:
    tools = [
        Tool(tool.name, tool.input_schema)
        for tool in request.tools or ()
        if tool.input_schema is not None
    ]
    choice = request.tool_choice
    if choice is None:
        return choose_tools(tools, "auto", None, question, parallel=True)
    parallel = not choice.disable_parallel_tool_use
    mode = _MODES.get(choice.type, "must")
    return choose_tools(tools, mode, choice.name, question, parallel=parallel)


def _schema(request: MessagesRequest) -> JsonObject | None:
    wanted = request.output_config and request.output_config.format
    return wanted.schema_ if wanted else None
