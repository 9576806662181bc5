"""Converts a chat request to a prompt, and a completion to OpenAI's answer."""

from collections.abc import Sequence

from mock_api import tokens
from mock_api.answers import Completion, Mode, Prompt, Tool, choose_tools, echo
from mock_api.openai.requests import ChatRequest, Message, ResponseFormat
from mock_api.openai.wire import ChatCompletion, FinishReason, ToolCall, Usage
from mock_api.openai.wire import Message as Reply
from mock_api.schemas import JsonObject

CREATED = 1_700_000_000  # fixed: with a real clock, each answer would be different
FINGERPRINT = "fp_mock"
FINISH_REASONS: dict[str, FinishReason] = {
    "done": "stop",
    "stop": "stop",
    "length": "length",
    "tool": "tool_calls",
}


def prompt_of(request: ChatRequest) -> Prompt:
    last = request.messages[-1]
    question = next((item.text for item in reversed(request.messages) if item.role == "user"), "")
    return Prompt(
        question=question,
        tool_result=last.text if last.role in {"tool", "function"} else None,
        tokens=max(1, sum(_count(message) for message in request.messages)),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stops=[stop for stop in request.stop or () if stop],
        tools=_tools(request, question),
        must_call=request.tool_choice is not None and request.tool_choice.type == "required",
        schema=_schema(request.response_format, question),
    )


def answer(request: ChatRequest, completion: Completion, digest: str) -> ChatCompletion:
    return {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": CREATED,
        "model": request.model,
        "choices": [
            {
                "index": 0,
                "message": _message(completion, digest),
                "logprobs": None,
                "finish_reason": FINISH_REASONS[completion.ended],
            }
        ],
        "usage": usage(completion),
        "system_fingerprint": FINGERPRINT,
    }


def usage(completion: Completion) -> Usage:
    return {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.tokens,
        "total_tokens": completion.prompt_tokens + completion.tokens,
    }


def call_id(digest: str, index: int) -> str:
    return f"call_{digest}" if index == 0 else f"call_{digest}_{index}"


def _message(completion: Completion, digest: str) -> Reply:
    if not completion.calls:
        return {"role": "assistant", "content": completion.text, "refusal": None}
    calls: list[ToolCall] = [
        {
            "id": call_id(digest, index),
            "type": "function",
            "function": {"name": call.tool, "arguments": call.arguments},
        }
        for index, call in enumerate(completion.calls)
    ]
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}


def _count(message: Message) -> int:
    called = "".join(call.function.arguments for call in message.tool_calls or ())
    return tokens.count(message.text) + tokens.count(called)


def _tools(request: ChatRequest, question: str) -> Sequence[Tool]:
    tools = [Tool(tool.function.name, tool.function.parameters) for tool in request.tools or ()]
    parallel = request.parallel_tool_calls is not False
    choice = request.tool_choice
    if choice is None:
        return choose_tools(tools, "auto", None, question, parallel=parallel)
    modes: dict[str, Mode] = {"auto": "auto", "none": "none"}
    name = choice.function.name if choice.function else None
    mode = modes.get(choice.type, "must")
    return choose_tools(tools, mode, name, question, parallel=parallel)


def _schema(wanted: ResponseFormat | None, question: str) -> JsonObject | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is not None:
        return wanted.json_schema.schema_
    return {"type": "object", "properties": {"answer": {"const": echo(question)}}}
