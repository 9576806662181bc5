"""Between OpenAI's words and ours. No I/O."""

import structlog
from pydantic import ValidationError

from app.errors import LLMError, MalformedAnswer
from app.llm.providers.boundary import validated
from app.llm.providers.finish import finish_reason
from app.llm.providers.openai import wire
from app.llm.providers.tool_calls import ToolCalls
from app.llm.status import ErrorDetail, error_for
from app.llm.types import AnswerSchema, ChatRequest, FinishReason, LLMResponse, ToolCall, Usage
from app.streaming.sse import ServerSentEvent

_log = structlog.get_logger(__name__)

PROVIDER = "openai"

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

# Before there were tools there was one function call, without an index and without an id.
_OLD_CALL = -1


def _reason(reason: wire.FinishReason) -> FinishReason:
    return finish_reason(reason, _FINISH_REASONS, PROVIDER)


def request_to_wire(request: ChatRequest, model: str, *, stream: bool) -> wire.CompletionRequest:
    """`max_completion_tokens`, because reasoning models refuse the older `max_tokens`."""
    payload: wire.CompletionRequest = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
    }
    if request.max_tokens is not None:
        payload["max_completion_tokens"] = request.max_tokens
    if request.temperature is not None:
        payload["temperature"] = request.temperature
    if request.answer_schema is not None:
        payload["response_format"] = _response_format(request.answer_schema)
    if stream:
        payload["stream"] = True
        payload["stream_options"] = {"include_usage": True}
    return payload


def _response_format(schema: AnswerSchema) -> wire.ResponseFormat:
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.name, "schema": dict(schema.schema), "strict": True},
    }


def response_from_wire(completion: wire.Completion) -> LLMResponse:
    if not completion["choices"]:
        return _without_choices(completion)
    choice = completion["choices"][0]
    message = choice["message"]
    refusal = message.get("refusal")
    return LLMResponse(
        id=completion["id"],
        provider=PROVIDER,
        model=completion["model"],
        content=(message["content"] or "") + (refusal or ""),
        finish_reason="refusal" if refusal else _reason(choice["finish_reason"]),
        usage=usage_from_wire(completion["usage"]),
        tool_calls=_tool_calls(message),
    )


def _without_choices(completion: wire.Completion) -> LLMResponse:
    """Azure's filter, when it stops a prompt, may leave nothing but its own results."""
    if not completion.get("prompt_filter_results"):
        raise _no_choices()
    return LLMResponse(
        id=completion["id"],
        provider=PROVIDER,
        model=completion["model"],
        content="",
        finish_reason="content_filter",
        usage=usage_from_wire(completion["usage"]),
    )


def _no_choices() -> MalformedAnswer:
    return MalformedAnswer(
        f"{PROVIDER} sent a malformed answer: choices: is empty", provider=PROVIDER
    )


def _tool_calls(message: wire.AnswerMessage) -> tuple[ToolCall, ...]:
    calls = ToolCalls()
    for index, call in enumerate(message.get("tool_calls") or ()):
        calls.begin(index, call["id"], call["function"]["name"])
        calls.add(index, call["function"]["arguments"])
    if old := message.get("function_call"):
        calls.begin(_OLD_CALL, None, old["name"])
        calls.add(_OLD_CALL, old["arguments"])
    return calls.whole()


def usage_from_wire(usage: wire.Usage) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        total_tokens=usage["total_tokens"],
        cached_prompt_tokens=min(details.get("cached_tokens") or 0, usage["prompt_tokens"]),
    )


def read_error(body: bytes) -> ErrorDetail | None:
    try:
        return _detail(wire.ERROR_RESPONSE.validate_json(body)["error"])
    except ValidationError:
        return None  # a proxy's page, or nothing at all: the status has to be enough


def _detail(error: wire.ErrorObject) -> ErrorDetail:
    kinds = (error.get("type"), error.get("code"))
    return ErrorDetail(error["message"], frozenset(k for k in kinds if isinstance(k, str)))


# An error in the middle of a stream has no status of its own: 200 was sent long ago.
_STATUS_OF = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
}


def _stream_error(error: wire.ErrorObject) -> LLMError:
    detail = _detail(error)
    statuses = [status for kind, status in _STATUS_OF.items() if kind in detail.kinds]
    return error_for(max(statuses, default=500), provider=PROVIDER, detail=detail)


class StreamedCompletion:
    """The end is `[DONE]`, after a chunk that says why the model stopped."""

    provider = PROVIDER

    def __init__(self) -> None:
        self._text: list[str] = []
        self._tool_calls = ToolCalls()
        self._prompt_filtered = False
        self._chosen = False
        self._refused = False
        self._last: wire.Chunk | None = None
        self._finish_reason: wire.FinishReason | None = None
        self._usage: wire.Usage | None = None
        self._ended = False

    @property
    def text(self) -> str:
        return "".join(self._text)

    def feed(self, event: ServerSentEvent) -> str:
        if event.data == "[DONE]":
            self._end()
            return ""
        item = validated(wire.STREAM_ITEM, event.data, PROVIDER)
        if "error" in item:
            raise _stream_error(item["error"])
        if item["id"] or self._last is None:
            self._last = item
        self._prompt_filtered = self._prompt_filtered or bool(item.get("prompt_filter_results"))
        self._usage = item.get("usage") or self._usage
        text = "".join(self._choice(choice) for choice in item["choices"] if choice["index"] == 0)
        self._text.append(text)
        return text

    def _end(self) -> None:
        self._ended = True
        if self._last is not None and not self._chosen:
            if not self._prompt_filtered:
                raise _no_choices()
            self._finish_reason = "content_filter"

    def _choice(self, choice: wire.ChunkChoice) -> str:
        self._chosen = True
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta: wire.Delta = choice.get("delta") or {}
        refusal = delta.get("refusal") or ""
        self._refused = self._refused or bool(refusal)
        self._call_tools(delta)
        return (delta.get("content") or "") + refusal

    def _call_tools(self, delta: wire.Delta) -> None:
        for call in delta.get("tool_calls") or ():
            self._call(call["index"], call.get("id"), call.get("function") or {})
        if old := delta.get("function_call"):
            self._call(_OLD_CALL, None, old)

    def _call(self, index: int, call_id: str | None, function: wire.FunctionCallDelta) -> None:
        self._tool_calls.begin(index, call_id, function.get("name"))
        self._tool_calls.add(index, function.get("arguments"))

    def response(self) -> LLMResponse | None:
        if not self._ended or self._last is None or self._finish_reason is None:
            return None
        return LLMResponse(
            id=self._last["id"],
            provider=PROVIDER,
            model=self._last["model"],
            content=self.text,
            finish_reason="refusal" if self._refused else _reason(self._finish_reason),
            usage=self._counted(),
            tool_calls=self._tool_calls.whole(),
        )

    def _counted(self) -> Usage:
        """Zeros for a server that does not count streams, as some compatible ones do not.

        The answer is whole all the same, and its reader has seen it already.
        """
        if self._usage is None:
            _log.warning("llm.usage_missing", provider=PROVIDER)
            return Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        return usage_from_wire(self._usage)
