"""A streamed answer in OpenAI's words, read chunk by chunk. No I/O."""

from app.llm.providers.boundary import counts_anything, is_empty, own_id, validated
from app.llm.providers.openai import wire
from app.llm.providers.openai.convert import (
    PROVIDER,
    finish_from_wire,
    no_choices,
    texts_of,
    usage_from_wire,
)
from app.llm.providers.stream_events import JSONObject, objects
from app.llm.providers.tool_calls import ToolCalls
from app.llm.types import LLMResponse, Usage
from app.streaming.sse import ServerSentEvent

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
                raise no_choices()
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
        text, refusal = texts_of(delta)
        self._refused = self._refused or bool(refusal)
        return text + refusal

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
            id=self._id or own_id(),
            provider=PROVIDER,
            model=self._model or self._requested_model,
            content=self.text,
            finish_reason="refusal" if self._refused else finish_from_wire(self._finish_reason),
            usage=usage_from_wire(self._usage, self._service_tier),
            tool_calls=self._tool_calls.whole(),
        )
