"""Between Anthropic's words and ours. No I/O."""

import json

from pydantic import ValidationError

from app.errors import LLMError, MalformedAnswer, UnsupportedRequest
from app.llm.providers.anthropic import wire
from app.llm.providers.boundary import validated
from app.llm.providers.finish import finish_reason
from app.llm.providers.tool_calls import ToolCalls
from app.llm.status import ErrorDetail, error_for
from app.llm.types import ChatRequest, FinishReason, LLMResponse, ToolCall, Usage
from app.streaming.sse import ServerSentEvent

PROVIDER = "anthropic"
_MAX_TEMPERATURE = 1.0

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}


def _reason(reason: wire.StopReason) -> FinishReason:
    return finish_reason(reason, _FINISH_REASONS, PROVIDER)


def request_to_wire(
    request: ChatRequest, model: str, max_tokens: int, *, stream: bool
) -> wire.MessageRequest:
    """System messages are no messages here but one field; several become its paragraphs."""
    payload: wire.MessageRequest = {
        "model": model,
        "max_tokens": max_tokens,
        "messages": [
            {"role": m.role, "content": m.content} for m in request.messages if m.role != "system"
        ],
    }
    system = "\n\n".join(m.content for m in request.messages if m.role == "system")
    if system:
        payload["system"] = system
    if request.temperature is not None:
        payload["temperature"] = _checked(request.temperature)
    if request.answer_schema is not None:
        schema = dict(request.answer_schema.schema)
        payload["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if stream:
        payload["stream"] = True
    return payload


def _checked(temperature: float) -> float:
    """Refused, not clamped: whoever asks for 1.5 would measure something else than they believe."""
    if temperature > _MAX_TEMPERATURE:
        raise UnsupportedRequest(
            f"{PROVIDER} accepts a temperature from 0 to {_MAX_TEMPERATURE:g}, not {temperature:g}",
            provider=PROVIDER,
        )
    return temperature


def response_from_wire(message: wire.Message) -> LLMResponse:
    return LLMResponse(
        id=message["id"],
        provider=PROVIDER,
        model=message["model"],
        content="".join(map(_text, message["content"])),
        finish_reason=_reason(message["stop_reason"]),
        usage=usage_from_wire(message["usage"]),
        tool_calls=_tool_calls(message["content"]),
    )


def _text(block: wire.ContentBlock) -> str:
    return block["text"] if block["type"] == "text" else ""


def _tool_calls(content: list[wire.ContentBlock]) -> tuple[ToolCall, ...]:
    calls = ToolCalls()
    for index, block in enumerate(content):
        _begin(calls, index, block)
    return calls.whole()


def _begin(calls: ToolCalls, index: int, block: wire.ContentBlock) -> None:
    """In a stream `input` is empty, and its JSON follows in deltas."""
    if block["type"] == "tool_use":
        calls.begin(index, block["id"], block["name"])
        calls.add(index, json.dumps(block["input"], ensure_ascii=False) if block["input"] else None)


def usage_from_wire(usage: wire.Usage) -> Usage:
    """What was read from or written to Anthropic's prompt cache is part of the prompt."""
    written = usage.get("cache_creation_input_tokens") or 0
    read = usage.get("cache_read_input_tokens") or 0
    prompt = usage["input_tokens"] + written + read
    completion = usage["output_tokens"]
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_prompt_tokens=read,
        cache_write_tokens=written,
    )


def read_error(body: bytes) -> ErrorDetail | None:
    try:
        return _detail(wire.ERROR_RESPONSE.validate_json(body)["error"])
    except ValidationError:
        return None  # a proxy's page, or nothing at all: the status has to be enough


def _detail(error: wire.ErrorObject) -> ErrorDetail:
    code = (error.get("details") or {}).get("error_code")
    return ErrorDetail(error["message"], frozenset({error["type"], code or error["type"]}))


# An error in the middle of a stream has no status of its own: 200 was sent long ago. These are the
# statuses that Anthropic sends with the same errors otherwise.
_STATUS_OF: dict[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def _stream_error(error: wire.ErrorObject) -> LLMError:
    status = _STATUS_OF.get(error["type"], 500)
    return error_for(status, provider=PROVIDER, detail=_detail(error))


class StreamedMessage:
    """The end is `message_stop`, after a `message_delta` that says why the model stopped."""

    provider = PROVIDER

    def __init__(self) -> None:
        self._text: list[str] = []
        self._tool_calls = ToolCalls()
        self._started: wire.StartedMessage | None = None
        self._stop_reason: wire.StopReason | None = None
        self._ended = False

    @property
    def text(self) -> str:
        return "".join(self._text)

    def feed(self, event: ServerSentEvent) -> str:
        text = self._take(validated(wire.STREAM_EVENT, event.data, PROVIDER))
        self._text.append(text)
        return text

    def _take(self, event: wire.StreamEvent) -> str:
        match event["type"]:
            case "error":
                raise _stream_error(event["error"])
            case "message_start":
                self._started = event["message"]
                return "".join(map(_text, event["message"]["content"]))
            case "content_block_start":
                _begin(self._tool_calls, event["index"], event["content_block"])
                return _text(event["content_block"])
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "message_delta":
                self._stop_reason = event["delta"]["stop_reason"]
                self._count(event["usage"])
            case "message_stop":
                self._ended = True
        return ""

    def _delta(self, index: int, delta: wire.BlockDelta) -> str:
        if delta["type"] == "input_json_delta":
            self._tool_calls.add(index, delta["partial_json"])
        return delta["text"] if delta["type"] == "text_delta" else ""

    def _count(self, usage: wire.UsageSoFar) -> None:
        """Totals only grow, so one that is missing, or zero, is the one that is known already."""
        known = self._begun()["usage"]
        known["output_tokens"] = usage["output_tokens"]
        known["input_tokens"] = usage.get("input_tokens") or known["input_tokens"]
        known["cache_creation_input_tokens"] = usage.get(
            "cache_creation_input_tokens"
        ) or known.get("cache_creation_input_tokens")
        known["cache_read_input_tokens"] = usage.get("cache_read_input_tokens") or known.get(
            "cache_read_input_tokens"
        )

    def _begun(self) -> wire.StartedMessage:
        if self._started is None:
            raise MalformedAnswer(
                f"{PROVIDER} sent a malformed answer: message_start: is missing", provider=PROVIDER
            )
        return self._started

    def response(self) -> LLMResponse | None:
        if not self._ended or self._stop_reason is None:
            return None
        started = self._begun()
        return LLMResponse(
            id=started["id"],
            provider=PROVIDER,
            model=started["model"],
            content=self.text,
            finish_reason=_reason(self._stop_reason),
            usage=usage_from_wire(started["usage"]),
            tool_calls=self._tool_calls.whole(),
        )
