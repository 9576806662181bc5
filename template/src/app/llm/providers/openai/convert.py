"""Requests and whole answers between OpenAI's words and ours. No I/O."""

from pydantic import JsonValue

from app.errors import MalformedAnswerError
from app.llm.costs import Receipt
from app.llm.providers import reported
from app.llm.providers.boundary import (
    counted,
    counts_anything,
    malformed,
    note_usage,
    own_id,
    parsed,
    validated,
)
from app.llm.providers.finish import finish_reason
from app.llm.providers.openai import wire
from app.llm.providers.policy import Facts
from app.llm.providers.tool_calls import ToolCalls
from app.llm.structured.schema import instruction
from app.llm.types import (
    AnswerSchema,
    ChatRequest,
    FinishReason,
    ImagePart,
    LLMResponse,
    Message,
    NamedTool,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    Usage,
)

PROVIDER = "openai"
_OPENAI = Facts()

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_TOOL_FIELDS = {"tool_calls", "function_call"}


def request_to_wire(
    request: ChatRequest, model: str, facts: Facts = _OPENAI, *, stream: bool
) -> wire.CompletionRequest:
    """Only fields that the server knows: a strict one refuses others, a lax one ignores them."""
    payload: wire.CompletionRequest = {
        "model": model,
        "messages": [_message(message) for message in request.messages],
    }
    if request.max_tokens is not None:
        payload[facts.max_tokens_field] = request.max_tokens
    if request.temperature is not None:
        payload["temperature"] = request.temperature
    if request.top_p is not None:
        payload["top_p"] = request.top_p
    if request.stop:
        payload["stop"] = list(request.stop)
    if request.tools:
        _add_tools(payload, request, facts)
    if request.answer_schema is not None:
        _add_schema(payload, request.answer_schema, facts)
    if stream:
        payload["stream"] = True
    if stream and facts.stream_options:
        payload["stream_options"] = {"include_usage": True}
    return payload


def _add_tools(payload: wire.CompletionRequest, request: ChatRequest, facts: Facts) -> None:
    strict = facts.json_mode == "json_schema"
    payload["tools"] = [tool_to_wire(tool, strict=strict) for tool in request.tools]
    if request.tool_choice is not None:
        payload["tool_choice"] = tool_choice_to_wire(request.tool_choice)
    if request.parallel_tool_calls is not None:
        payload["parallel_tool_calls"] = request.parallel_tool_calls


def _add_schema(payload: wire.CompletionRequest, schema: AnswerSchema, facts: Facts) -> None:
    """A server that takes no schema finds it in the prompt."""
    has_own_field = facts.json_mode == "json_schema" or (
        facts.json_mode == "json_object" and not schema.schema
    )
    if not has_own_field:
        payload["messages"].insert(0, {"role": "system", "content": instruction(schema)})
    if facts.json_mode != "none":
        payload["response_format"] = _response_format(schema, facts)


def _response_format(schema: AnswerSchema, facts: Facts) -> wire.ResponseFormat:
    if facts.json_mode == "json_object" or not schema.schema:
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {
            "name": schema.name,
            "schema": dict(schema.schema),
            "strict": schema.strict,
        },
    }


def _message(message: Message) -> wire.RequestMessage:
    content = message.content
    sent: wire.RequestMessage = {
        "role": message.role,
        "content": content if isinstance(content, str) else [_part(part) for part in content],
    }
    if message.tool_calls:
        sent["content"] = sent["content"] or None  # servers refuse an empty text beside calls
        sent["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    return sent


def _part(part: TextPart | ImagePart) -> wire.RequestPart:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    image: wire.ImageURL = {"url": part.url}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def tool_to_wire(tool: Tool, *, strict: bool) -> wire.RequestTool:
    """`strict`: whether the server knows the field of that name."""
    function: wire.RequestFunction = {"name": tool.name, "parameters": dict(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    if tool.strict and strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def tool_choice_to_wire(choice: ToolChoice) -> wire.RequestToolChoice:
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


read_error = reported.read_error


def read_answer(body: bytes, *, model: str, receipt: Receipt | None = None) -> LLMResponse:
    """The answer in a body, or the error in it. `model` is the one that was asked.

    `receipt` gets the cost of an answer that cannot be read.
    """
    try:
        return read_value(parsed(body, PROVIDER), model=model)
    except MalformedAnswerError:
        note_usage(body, read_usage, receipt)
        raise


def read_value(value: JsonValue, *, model: str) -> LLMResponse:
    """The same of a body that is parsed already."""
    if not _is_answer(value):
        reported.raise_error_in(value, PROVIDER)
    return response_from_wire(validated(wire.COMPLETION, value, PROVIDER), model=model)


def _is_answer(value: JsonValue) -> bool:
    """Whether the value has a choice, and no field in which a server reports an error beside it."""
    match value:
        case {"error": _} | {"type": _} | {"choices": [{"error": _}, *_]}:
            return False
        case {"choices": [_, *_]}:
            return True
    return False


def response_from_wire(completion: wire.Completion, *, model: str = "") -> LLMResponse:
    choices = completion.get("choices")
    if not choices:
        return _without_choices(completion, model)
    message, reason = choices[0]["message"], choices[0].get("finish_reason")
    text, refusal = texts_of(message)
    calls = _tool_calls(message) if message.keys() & _TOOL_FIELDS else ()
    return LLMResponse(
        id=completion.get("id") or own_id(),
        provider=PROVIDER,
        model=completion.get("model") or model,
        content=text + refusal,
        finish_reason="refusal" if refusal else finish_from_wire(reason, calls_tools=bool(calls)),
        usage=usage_from_wire(
            completion.get("usage") or choices[0].get("usage"), completion.get("service_tier")
        ),
        tool_calls=calls,
    )


def finish_from_wire(reason: str | None, *, calls_tools: bool = False) -> FinishReason:
    """OpenAI's own words need no search; those of compatible servers do."""
    known = _FINISH_REASONS.get(reason or "")
    return known or finish_reason(reason, _FINISH_REASONS, PROVIDER, calls_tools=calls_tools)


def texts_of(message: wire.AnswerMessage) -> tuple[str, str]:
    """The text of a message, and its refusal, which may be a part of the text or in a field of its own."""
    content, refusal = message.get("content"), message.get("refusal") or ""
    if content is None or isinstance(content, str):
        return content or "", refusal
    text = "".join(part.get("text") or "" for part in content)
    return text, refusal + "".join(part.get("refusal") or "" for part in content)


def _without_choices(completion: wire.Completion, model: str) -> LLMResponse:
    """Azure's filter, when it stops a prompt, may leave nothing but its own results."""
    if not completion.get("prompt_filter_results"):
        raise no_choices()
    return LLMResponse(
        id=completion.get("id") or own_id(),
        provider=PROVIDER,
        model=completion.get("model") or model,
        content="",
        finish_reason="content_filter",
        usage=usage_from_wire(completion.get("usage"), completion.get("service_tier")),
    )


def no_choices() -> MalformedAnswerError:
    return malformed(PROVIDER, "choices", "is empty")


def _tool_calls(message: wire.AnswerMessage) -> tuple[ToolCall, ...]:
    calls = ToolCalls(PROVIDER)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        calls.begin(call.get("id"), function.get("name"))
        calls.add(function.get("arguments"))
    if old := message.get("function_call"):
        calls.begin(None, old.get("name"))
        calls.add(old.get("arguments"))
    return calls.whole()


def read_usage(usage: object) -> Usage:
    """The usage of an answer of which nothing else can be read; a `ValueError` if it cannot either."""
    read = wire.USAGE.validate_python(usage)
    if not counts_anything(read):
        raise ValueError("the usage counts nothing")
    return usage_from_wire(read)


def usage_from_wire(usage: wire.Usage | None, service_tier: str | None = None) -> Usage:
    """`service_tier` is that of the answer. Some gateways report writes to their cache as well."""
    usage = usage or {}
    details = usage.get("prompt_tokens_details") or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    cached = details.get("cached_tokens")
    return counted(
        PROVIDER,
        prompt=usage.get("input_tokens") if prompt is None else prompt,
        completion=usage.get("output_tokens") if completion is None else completion,
        total=usage.get("total_tokens"),
        cached=usage.get("prompt_cache_hit_tokens") if cached is None else cached,
        written=details.get("cache_write_tokens"),
        service_tier=service_tier,
        reasoning=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
    )
