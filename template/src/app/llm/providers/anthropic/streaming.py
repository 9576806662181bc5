"""A streamed answer in Anthropic's words, read event by event. No I/O."""

from typing import cast

from app.llm.providers.anthropic import wire
from app.llm.providers.anthropic.convert import (
    PROVIDER,
    begin_call,
    finish_from_wire,
    text_of,
    usage_from_wire,
)
from app.llm.providers.anthropic.kinds import named
from app.llm.providers.boundary import counts_anything, is_empty, own_id, validated
from app.llm.providers.stream_events import JSONObject, objects
from app.llm.providers.tool_calls import ToolCalls
from app.llm.types import LLMResponse, Usage
from app.streaming.sse import ServerSentEvent

# Deltas that show that the model is working, unless this field of theirs is empty.
_PROGRESS = {"text_delta": "text", "input_json_delta": "partial_json", "thinking_delta": "thinking"}


class StreamedMessage:
    """The end is `message_stop`, after a `message_delta` that says why the model stopped.

    A server that closes the connection instead of sending `message_stop` has ended its answer too, if
    that reason is the last thing that it said about the answer.
    """

    provider = PROVIDER

    def __init__(self, model: str = "") -> None:
        self._requested_model = model
        self._text: list[str] = []
        self._tool_calls = ToolCalls(PROVIDER)
        self._id: str | None = None
        self._model: str | None = None
        self._usage = wire.Usage()
        self._stop_reason: str | None = None
        self._stop_is_last = False
        self._ended = False
        self._progress = 0

    @property
    def progress(self) -> int:
        return self._progress

    @property
    def text(self) -> str:
        return "".join(self._text)

    def feed(self, event: ServerSentEvent) -> str:
        items = objects(event, PROVIDER)
        return "".join(self._take(item, event.event) for item in items if item is not None)

    def _take(self, item: JSONObject, name: str) -> str:
        event = validated(wire.STREAM_EVENT, named(item, name), PROVIDER)
        self._count(event.get("usage"))
        text = self._read(event)
        self._text.append(text)
        return text

    def _read(self, event: wire.StreamEvent) -> str:
        match event.get("type"):
            case "message_start":
                return self._start(event.get("message") or {})
            case "message":
                self._stop(event.get("stop_reason"))
                for index, block in enumerate(event.get("content") or ()):
                    begin_call(self._tool_calls, index, block)
                return self._start(event)
            case "content_block_start":
                block = event.get("content_block") or {}
                begin_call(self._tool_calls, event.get("index"), block)
                return text_of([block])
            case "content_block_delta":
                return self._delta(event.get("index"), event.get("delta") or {})
            case "message_delta":
                reason = (event.get("delta") or {}).get("stop_reason")
                self._stop(reason or event.get("stop_reason"))
            case "message_stop":
                self._ended = True
        return ""

    def _start(self, message: wire.StartedMessage) -> str:
        self._id = message.get("id")
        self._model = message.get("model")
        self._count(message.get("usage"))
        return text_of(message.get("content") or ())

    def _stop(self, reason: str | None) -> None:
        self._stop_reason = reason or self._stop_reason
        self._stop_is_last = bool(reason) or self._stop_is_last

    def _delta(self, index: int | None, delta: wire.Delta) -> str:
        if not is_empty(delta.get(_PROGRESS.get(delta.get("type") or "", ""))):
            self._progress += 1
            self._stop_is_last = False
        self._tool_calls.add(delta.get("partial_json"), index=index)
        return delta.get("text") or ""

    def _count(self, usage: wire.Usage | None) -> None:
        """Totals only grow, so one that is missing, or zero, is the one that is known already."""
        known = {field: count for field, count in (usage or {}).items() if count}
        self._usage = cast("wire.Usage", {**self._usage, **known})

    def usage_so_far(self) -> tuple[Usage | None, bool]:
        """The prompt is counted at the beginning, the whole answer when the model has stopped."""
        usage = usage_from_wire(self._usage) if counts_anything(self._usage) else None
        return usage, self._stop_reason is not None

    def response(self, *, closed: bool = False) -> LLMResponse | None:
        is_over = self._ended or (closed and self._stop_is_last)
        if not is_over or self._stop_reason is None:
            return None
        return LLMResponse(
            id=self._id or own_id(),
            provider=PROVIDER,
            model=self._model or self._requested_model,
            content=self.text,
            finish_reason=finish_from_wire(self._stop_reason),
            usage=usage_from_wire(self._usage),
            tool_calls=self._tool_calls.whole(),
        )
