"""Between OpenAI's requests and answers and the service's own. No I/O."""

import time
from collections.abc import Sequence

from app.api.openai.answers import ChatCompletion, FinishOut, ToolCallOut, UsageOut
from app.api.openai.models import Target
from app.api.openai.wire import (
    ChatCompletionIn,
    ImagePartIn,
    MessageIn,
    ResponseFormatIn,
    TextPartIn,
    ToolChoiceIn,
    ToolIn,
)
from app.api.openai.wire import ChosenTool as ChosenToolIn
from app.llm.costs import Usage
from app.llm.types import (
    ANY_OBJECT,
    AnswerSchema,
    ChatRequest,
    Content,
    FinishReason,
    ImagePart,
    LLMResponse,
    Message,
    NamedTool,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    joined_text,
)

_FINISH: dict[FinishReason, FinishOut] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


def request_of(body: ChatCompletionIn, target: Target, tenant: str | None) -> ChatRequest:
    return ChatRequest(
        messages=tuple(_message(message) for message in body.messages),
        provider=target.provider,
        model=target.model,
        temperature=body.temperature,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        answer_schema=_answer_schema(body.response_format),
        tools=tuple(_tool(tool) for tool in body.tools or ()),
        tool_choice=_tool_choice(body.tool_choice),
        parallel_tool_calls=body.parallel_tool_calls,
        top_p=body.top_p,
        stop=tuple(body.stop or ()),
        tenant=tenant,
    )


def _message(message: MessageIn) -> Message:
    calls = tuple(
        ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or ()
        if message.role == "assistant"
    )
    role = "system" if message.role == "developer" else message.role
    call_id = message.tool_call_id if role == "tool" else None
    return Message(role, _content(message), calls, call_id)


def _content(message: MessageIn) -> Content:
    if isinstance(message.content, list):
        return joined_text(tuple(map(_part, message.content)))
    return message.content or message.refusal or ""


def _part(part: TextPartIn | ImagePartIn) -> TextPart | ImagePart:
    if isinstance(part, TextPartIn):
        return TextPart(part.text)
    return ImagePart(part.image_url.url, part.image_url.detail)


def _tool(tool: ToolIn) -> Tool:
    function = tool.function
    return Tool(
        function.name,
        function.description or "",
        function.parameters or {},
        bool(function.strict),
    )


def _tool_choice(choice: ToolChoiceIn | None) -> ToolChoice | None:
    return NamedTool(choice.function.name) if isinstance(choice, ChosenToolIn) else choice


def _answer_schema(wanted: ResponseFormatIn | None) -> AnswerSchema | None:
    if wanted is None or wanted.type == "text":
        return None
    schema = wanted.json_schema
    if schema is None or not schema.schema_:
        return ANY_OBJECT
    return AnswerSchema(schema.name, schema.schema_, strict=bool(schema.strict))


def completion_of(response: LLMResponse, completion_id: str) -> ChatCompletion:
    refused = response.finish_reason == "refusal"
    completion: ChatCompletion = {
        "id": completion_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": response.model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None if refused else _text(response),
                    "refusal": response.content if refused else None,
                },
                "logprobs": None,
                "finish_reason": finish_of(response),
            }
        ],
        "usage": usage_of(response.usage),
        "provider": response.provider,
        "cost_usd": response.cost_usd,
        "cached": response.cached,
    }
    if response.tool_calls:
        completion["choices"][0]["message"]["tool_calls"] = calls_of(response.tool_calls)
    return completion


def _text(response: LLMResponse) -> str | None:
    return None if response.tool_calls and not response.content else response.content


def finish_of(response: LLMResponse) -> FinishOut:
    return _FINISH[response.finish_reason]


def calls_of(calls: Sequence[ToolCall]) -> list[ToolCallOut]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]


def usage_of(usage: Usage) -> UsageOut:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
