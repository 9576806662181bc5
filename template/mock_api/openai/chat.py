"""A chat request as a prompt, and a completion as OpenAI's answer."""

from typing import Literal

from mock_api import tokens
from mock_api.answers import Completion, Prompt, Tool, choose_tool, echo
from mock_api.openai.requests import ChatRequest, Message, ResponseFormat
from mock_api.openai.wire import ChatCompletion, FinishReason, ToolCall, Usage
from mock_api.openai.wire import Message as Reply
from mock_api.schemas import JsonObject

CREATED = 1_700_000_000  # a real clock would make every answer different
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
        tool=_tool(request),
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


def _message(completion: Completion, digest: str) -> Reply:
    if completion.tool is None:
        return {"role": "assistant", "content": completion.text, "refusal": None}
    call: ToolCall = {
        "id": f"call_{digest}",
        "type": "function",
        "function": {"name": completion.tool, "arguments": completion.text},
    }
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}


def _count(message: Message) -> int:
    called = "".join(call.function.arguments for call in message.tool_calls or ())
    return tokens.count(message.text) + tokens.count(called)


def _tool(request: ChatRequest) -> Tool | None:
    tools = [Tool(tool.function.name, tool.function.parameters) for tool in request.tools or ()]
    choice = request.tool_choice
    if choice is None:
        return choose_tool(tools, "auto", None)
    modes: dict[str, Literal["auto", "none", "must"]] = {"auto": "auto", "none": "none"}
    name = choice.function.name if choice.function else None
    return choose_tool(tools, modes.get(choice.type, "must"), name)


def _schema(wanted: ResponseFormat | None, question: str) -> JsonObject | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is not None:
        return wanted.json_schema.schema_
    return {"type": "object", "properties": {"answer": {"const": echo(question)}}}
