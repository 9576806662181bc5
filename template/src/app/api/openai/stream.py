"""A streamed answer as OpenAI's chunks: the role, the text, tool calls, the finish, the usage, `[DONE]`."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import orjson

from app.api.event_stream import MAX_WRITE_BYTES
from app.api.events import Event, described
from app.api.openai.answers import ChatCompletionChunk, Delta, FinishOut
from app.api.openai.convert import calls_of, finish_of, usage_of
from app.api.openai.errors import ErrorBody, error_of
from app.api.problems import describe, stopped
from app.llm.opened_stream import StreamToOpen
from app.llm.types import LLMResponse, TextDelta
from app.telemetry.redaction import StreamedText

CHUNK = Event(None, ChatCompletionChunk, orjson.dumps)
ERROR = Event(None, ErrorBody, orjson.dumps)
_END = "[DONE]"
_DONE = b"data: %b\n\n" % _END.encode()

EVENT_STREAM = {
    "description": "The answer. With `stream`, server-sent events: chunks of the answer, then "
    "`[DONE]`. If the answer breaks off, an error ends the stream instead. Comments (lines that "
    "begin with a colon) keep the connection open while the model is silent.",
    "content": {"text/event-stream": described(CHUNK, ERROR, last=_END)},
}


class Chunks:
    """The chunks of one answer, which all have the same id."""

    def __init__(self, completion_id: str, model: str, *, with_usage: bool) -> None:
        self._id = completion_id
        self._created = int(time.time())
        self._model = model
        self._with_usage = with_usage

    def delta(self, delta: Delta, finish: FinishOut | None = None) -> bytes:
        chunk = self._chunk()
        chunk["choices"].append(
            {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        )
        return CHUNK.frame(chunk)

    def end(self, response: LLMResponse) -> Iterator[bytes]:
        self._model = response.model
        for index, call in enumerate(calls_of(response.tool_calls)):
            yield self.delta({"tool_calls": [{"index": index, **call}]})
        yield self.delta({}, finish_of(response))
        if self._with_usage:
            chunk = self._chunk()
            chunk["usage"] = usage_of(response.usage)
            yield CHUNK.frame(chunk)
        yield _DONE

    def _chunk(self) -> ChatCompletionChunk:
        chunk: ChatCompletionChunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [],
        }
        if self._with_usage:
            chunk["usage"] = None
        return chunk


async def frames(
    events: StreamToOpen, chunks: Chunks, *, debug: bool
) -> AsyncGenerator[bytes, None]:
    """Encode the events. An error before the first one is raised, and keeps its status."""
    masked = StreamedText()
    started = False
    ready = b""
    async with aclosing(events):
        try:
            async for event in events:
                if not started:
                    ready = chunks.delta({"role": "assistant", "content": ""})
                    started = True
                done = None if isinstance(event, TextDelta) else event.response
                text = masked.feed(event.text) if isinstance(event, TextDelta) else masked.finish()
                if text:
                    ready += chunks.delta({"content": text})
                if len(ready) < MAX_WRITE_BYTES and events.has_text_ready():
                    continue
                if ready:
                    yield ready
                    ready = b""
                for frame in () if done is None else chunks.end(done):
                    yield frame
        except Exception as error:
            if not started:
                raise
            yield ready + ERROR.frame(error_of(describe(error, debug=debug)))


def cut_off() -> bytes:
    """The end of a stream that still runs when the service stops."""
    return ERROR.frame(error_of(stopped()))
