"""Requests and whole answers between Anthropic's words and ours. No I/O."""

from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from app.errors import MalformedAnswerError
from app.llm.costs import Receipt
from app.llm.providers import reported
from app.llm.providers.anthropic import wire
from app.llm.providers.anthropic.messages import (
    messages_to_wire,
    tool_choice_to_wire,
    tool_to_wire,
)
from app.llm.providers.anthropic.policy import FACTS
from app.llm.providers.boundary import (
    counted,
    counts_anything,
    note_usage,
    own_id,
    parsed,
    validated,
)
from app.llm.providers.finish import finish_reason
from app.llm.providers.policy import Facts
from app.llm.providers.tool_calls import ToolCalls
from app.llm.structured.schema import instruction
from app.llm.types import (
    AnswerSchema,
    ChatRequest,
    FinishReason,
    LLMResponse,
    ToolCall,
    Usage,
)

PROVIDER = "anthropic"

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}


def request_to_wire(
    request: ChatRequest, model: str, max_tokens: int, facts: Facts = FACTS, *, stream: bool
) -> wire.MessageRequest:
    """System messages are no messages here but one field; several become its paragraphs."""
    payload: wire.MessageRequest = {
        "model": model,
        "max_tokens": max_tokens,
        "messages": messages_to_wire(request.messages),
    }
    if system := "\n\n".join(_system(request, facts)):
        payload["system"] = system
    if request.temperature is not None:
        payload["temperature"] = request.temperature
    if request.top_p is not None:
        payload["top_p"] = request.top_p
    if request.stop:
        payload["stop_sequences"] = list(request.stop)
    if request.tools:
        _add_tools(payload, request, facts)
    if request.answer_schema is not None and _has_own_field(request.answer_schema, facts):
        schema = dict(request.answer_schema.schema)
        payload["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if stream:
        payload["stream"] = True
    return payload


def _add_tools(payload: wire.MessageRequest, request: ChatRequest, facts: Facts) -> None:
    strict = facts.json_mode == "json_schema"
    payload["tools"] = [tool_to_wire(tool, strict=strict) for tool in request.tools]
    if (choice := tool_choice_to_wire(request)) is not None:
        payload["tool_choice"] = choice


def _has_own_field(schema: AnswerSchema, facts: Facts) -> bool:
    """Anthropic's field takes closed schemas only, so "any object" goes into the prompt."""
    return facts.json_mode == "json_schema" and bool(schema.schema)


def _system(request: ChatRequest, facts: Facts) -> Iterator[str]:
    """A server that takes no schema finds it in the prompt."""
    schema = request.answer_schema
    if schema is not None and not _has_own_field(schema, facts):
        yield instruction(schema)
    yield from (m.text for m in request.messages if m.role == "system")


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
    return response_from_wire(validated(wire.MESSAGE, value, PROVIDER), model=model)


def _is_answer(value: JsonValue) -> bool:
    """Whether the value has a block, and no field in which a server reports an error beside it."""
    match value:
        case {"error": _} | {"type": "error"} | {"choices": _}:
            return False
        case {"content": [_, *_]}:
            return True
    return False


def response_from_wire(message: wire.Message, *, model: str = "") -> LLMResponse:
    calls = _tool_calls(message["content"])
    reason = message.get("stop_reason")
    return LLMResponse(
        id=message.get("id") or own_id(),
        provider=PROVIDER,
        model=message.get("model") or model,
        content=text_of(message["content"]),
        finish_reason=finish_from_wire(reason, calls_tools=bool(calls)),
        usage=usage_from_wire(message.get("usage")),
        tool_calls=calls,
    )


def finish_from_wire(reason: str | None, *, calls_tools: bool = False) -> FinishReason:
    """Anthropic's own words need no search; those of compatible servers do."""
    known = _FINISH_REASONS.get(reason or "")
    return known or finish_reason(reason, _FINISH_REASONS, PROVIDER, calls_tools=calls_tools)


def text_of(content: Iterable[wire.Block]) -> str:
    return "".join(block.get("text") or "" for block in content)


def _tool_calls(content: list[wire.Block]) -> tuple[ToolCall, ...]:
    calls = ToolCalls(PROVIDER)
    for index, block in enumerate(content):
        begin_call(calls, index, block)
    return calls.whole()


def begin_call(calls: ToolCalls, index: int | None, block: wire.Block) -> None:
    """In a stream `input` is empty, and its JSON follows in deltas."""
    if block.get("type") == "tool_use":
        calls.begin(block.get("id"), block.get("name"), index=index)
        calls.preset(block.get("input"))
    else:
        calls.ignore(index)


def read_usage(usage: object) -> Usage:
    """The usage of an answer of which nothing else can be read; a `ValueError` if it cannot either."""
    read = wire.USAGE.validate_python(usage)
    if not counts_anything(read):
        raise ValueError("the usage counts nothing")
    return usage_from_wire(read)


def usage_from_wire(usage: wire.Usage | None) -> Usage:
    """What was read from or written to Anthropic's prompt cache is part of the prompt."""
    usage = usage or {}
    written = usage.get("cache_creation_input_tokens") or 0
    read = usage.get("cache_read_input_tokens") or 0
    uncached = usage.get("input_tokens")
    kept: wire.CacheCreation = usage.get("cache_creation") or {}
    return counted(
        PROVIDER,
        prompt=(
            None if uncached is None and not written + read else (uncached or 0) + written + read
        ),
        completion=usage.get("output_tokens"),
        cached=read,
        written=written,
        written_5m=kept.get("ephemeral_5m_input_tokens"),
        written_1h=kept.get("ephemeral_1h_input_tokens"),
        service_tier=usage.get("service_tier"),
    )
