"""Between OpenAI's words and ours. No I/O."""

from app.errors import MalformedAnswerError
from app.llm.providers import reported
from app.llm.providers.answer import (
    answer_id,
    counted,
    counts_anything,
    finish_of_whole,
    finish_reason,
)
from app.llm.providers.boundary import is_empty, malformed, parsed, validated
from app.llm.providers.openai import wire
from app.llm.providers.openai.content import refusal_of, text_of
from app.llm.providers.openai.messages import messages_to_wire, tool_choice_to_wire, tool_to_wire
from app.llm.providers.policy import Facts
from app.llm.providers.stream_events import JSONObject, objects
from app.llm.providers.tool_calls import ToolCalls
from app.llm.status import reported_error
from app.llm.structured.schema import instruction
from app.llm.types import (
    AnswerSchema,
    ChatRequest,
    FinishReason,
    LLMResponse,
    Message,
    ToolCall,
    Usage,
)
from app.streaming.sse import ServerSentEvent

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


def _reason(reason: str) -> FinishReason:
    return finish_reason(reason, _FINISH_REASONS, PROVIDER)


def request_to_wire(
    request: ChatRequest, model: str, facts: Facts = _OPENAI, *, stream: bool
) -> wire.CompletionRequest:
    """Only fields that the server knows: a strict one refuses others, a lax one ignores them."""
    payload: wire.CompletionRequest = {
        "model": model,
        "messages": messages_to_wire(_messages(request, facts)),
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
    if request.answer_schema is not None and facts.json_mode != "none":
        payload["response_format"] = _response_format(request.answer_schema, facts)
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


def _messages(request: ChatRequest, facts: Facts) -> tuple[Message, ...]:
    """A server that takes no schema finds it in the prompt."""
    schema = request.answer_schema
    has_own_field = facts.json_mode == "json_schema" or (
        schema is not None and not schema.schema and facts.json_mode == "json_object"
    )
    if schema is None or has_own_field:
        return request.messages
    return (Message("system", instruction(schema)), *request.messages)


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


read_error = reported.read_error


def read_answer(body: bytes, *, model: str) -> LLMResponse:
    """The answer in a body, or the error in it. `model` is the one that was asked."""
    value = parsed(body, PROVIDER)
    if (error := reported.error_in(value)) is not None:
        raise reported_error(error, provider=PROVIDER)
    return response_from_wire(validated(wire.COMPLETION, value, PROVIDER), model=model)


def response_from_wire(completion: wire.Completion, *, model: str = "") -> LLMResponse:
    choices = completion.get("choices")
    if not choices:
        return _without_choices(completion, model)
    message = choices[0]["message"]
    content, reason = message.get("content"), choices[0].get("finish_reason")
    refusal = (message.get("refusal") or "") + refusal_of(content)
    calls = _tool_calls(message) if message.keys() & _TOOL_FIELDS else ()
    return LLMResponse(
        id=answer_id(completion.get("id")),
        provider=PROVIDER,
        model=completion.get("model") or model,
        content=text_of(content) + refusal,
        finish_reason=(
            "refusal"
            if refusal
            else finish_of_whole(reason, _FINISH_REASONS, PROVIDER, calls_tools=bool(calls))
        ),
        usage=usage_from_wire(
            completion.get("usage") or choices[0].get("usage"), completion.get("service_tier")
        ),
        tool_calls=calls,
    )


def _without_choices(completion: wire.Completion, model: str) -> LLMResponse:
    """Azure's filter, when it stops a prompt, may leave nothing but its own results."""
    if not completion.get("prompt_filter_results"):
        raise _no_choices()
    return LLMResponse(
        id=answer_id(completion.get("id")),
        provider=PROVIDER,
        model=completion.get("model") or model,
        content="",
        finish_reason="content_filter",
        usage=usage_from_wire(completion.get("usage"), completion.get("service_tier")),
    )


def _no_choices() -> MalformedAnswerError:
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


# Fields of a delta that show that the model is working.
_PROGRESS = (
    "content",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking",
)


class StreamedCompletion:
    """The end is `[DONE]`, after a chunk that says why the model stopped.

    A server that closes the connection instead of sending `[DONE]` has ended its answer too, if that
    reason is the last thing that it said about the answer.
    """

    provider = PROVIDER

    def __init__(self, model: str = "") -> None:
        self._requested_model = model
        self._text: list[str] = []
        self._tool_calls = ToolCalls(PROVIDER)
        self._prompt_filtered = False
        self._chosen = False
        self._refused = False
        self._id: str | None = None
        self._model: str | None = None
        self._finish_reason: str | None = None
        self._finish_is_last = False
        self._usage: wire.Usage | None = None
        self._service_tier: str | None = None
        self._ended = False
        self._progress = 0

    @property
    def progress(self) -> int:
        return self._progress

    @property
    def text(self) -> str:
        return "".join(self._text)

    def feed(self, event: ServerSentEvent) -> str:
        texts = [self._take(item) for item in objects(event, PROVIDER) if not self._ended]
        return "".join(texts)

    def _take(self, item: JSONObject | None) -> str:
        if item is None:
            self._end()
            return ""
        chunk = validated(wire.CHUNK, item, PROVIDER)
        self._id = self._id or chunk.get("id")
        self._model = self._model or chunk.get("model")
        self._prompt_filtered = self._prompt_filtered or bool(chunk.get("prompt_filter_results"))
        self._service_tier = chunk.get("service_tier") or self._service_tier
        self._count(chunk.get("usage"))
        self._count((chunk.get("x_groq") or {}).get("usage"))
        text = "".join(map(self._choice, chunk.get("choices") or ()))
        self._text.append(text)
        return text

    def _count(self, usage: wire.Usage | None) -> None:
        """The last usage that counts anything: some servers send an empty one after it."""
        if usage and counts_anything(usage):
            self._usage = usage

    def _end(self) -> None:
        self._ended = True
        if not self._chosen:
            if not self._prompt_filtered:
                raise _no_choices()
            self._finish_reason = "content_filter"

    def _choice(self, choice: wire.ChunkChoice) -> str:
        self._chosen = True
        self._count(choice.get("usage"))
        delta: wire.Delta = choice.get("delta") or choice.get("message") or {}
        is_progress = any(not is_empty(delta.get(field)) for field in _PROGRESS)
        self._progress += is_progress
        reason = choice.get("finish_reason")
        self._finish_reason = reason or self._finish_reason
        self._finish_is_last = bool(reason) or (self._finish_is_last and not is_progress)
        self._call_tools(delta)
        content = delta.get("content")
        refusal = (delta.get("refusal") or "") + refusal_of(content)
        self._refused = self._refused or bool(refusal)
        return text_of(content) + refusal

    def _call_tools(self, delta: wire.Delta) -> None:
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            self._tool_calls.piece(
                call.get("index"), call.get("id"), function.get("name"), function.get("arguments")
            )
        if old := delta.get("function_call"):
            self._tool_calls.piece(None, None, old.get("name"), old.get("arguments"))

    def usage_so_far(self) -> tuple[Usage | None, bool]:
        """Most servers report it once, at the end; some with every chunk."""
        known = self._usage is not None
        usage = usage_from_wire(self._usage, self._service_tier) if known else None
        return usage, self._finish_reason is not None

    def response(self, *, closed: bool = False) -> LLMResponse | None:
        is_over = self._ended or (closed and self._finish_is_last)
        if not is_over or self._finish_reason is None:
            return None
        return LLMResponse(
            id=answer_id(self._id),
            provider=PROVIDER,
            model=self._model or self._requested_model,
            content=self.text,
            finish_reason="refusal" if self._refused else _reason(self._finish_reason),
            usage=usage_from_wire(self._usage, self._service_tier),
            tool_calls=self._tool_calls.whole(),
        )
