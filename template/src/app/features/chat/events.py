"""The events of a streamed chat answer."""

import orjson
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.api.events import Event, as_json, described
from app.api.problems import Problem
from app.llm.types import LLMResponse, ToolCall


class ChatDelta(TypedDict):
    """The next piece of the answer's text."""

    text: str


DELTA = Event("delta", ChatDelta, orjson.dumps)
TOOL_CALL = Event("tool_call", ToolCall, as_json)
DONE = Event("done", LLMResponse, as_json)
ERROR = Event("error", Problem, Problem.as_json)

EVENT_STREAM = {
    "description": "The answer. With `stream`, server-sent events: any number of `delta` events, "
    "a `tool_call` event for each tool call, then one `done` event with the whole answer. If the "
    "answer breaks off, an `error` event with the text so far ends the stream instead. Comments "
    "(lines that begin with a colon) keep the connection open while the model is silent.",
    "content": {
        "text/event-stream": {
            **described(DELTA, TOOL_CALL, DONE, ERROR),
            "example": 'event: delta\ndata: {"text":"Hello"}\n\nevent: done\ndata: {"id":"…"}\n\n',
        }
    },
}
