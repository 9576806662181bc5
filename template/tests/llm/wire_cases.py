"""Samples of both providers' answers with every field of the wire types, and how each is read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.errors import LLMError
from app.llm.providers.anthropic import convert as anthropic
from app.llm.providers.anthropic import wire as anthropic_wire
from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.openai import convert as openai
from app.llm.providers.openai import embeddings
from app.llm.providers.openai import wire as openai_wire
from app.llm.providers.openai.streaming import StreamedCompletion
from app.llm.providers.streamed import StreamedAnswer
from app.llm.types import LLMResponse
from app.streaming.sse import ServerSentEvent
from tests.llm.samples import JSONObject

Outcome = tuple[object, ...] | type[LLMError]
Read = Callable[[Any], Outcome]


# Fields that end a stream: they may be read as absent, and then the stream is not over.
ENDS = {"finish_reason", "stop_reason"}


@dataclass(frozen=True)
class Case:
    """Something that a provider sends, its wire type, and the reader of the whole answer around it."""

    name: str
    kind: Any
    sample: Any
    read: Read
    streamed: bool = False

    def __str__(self) -> str:
        return self.name


def meaning(response: LLMResponse | None) -> Outcome:
    """What a caller acts on. Ids, the model's name and the usage have fallbacks."""
    if response is None:
        return LLMError  # the stream is not over
    assert response.id
    assert response.model
    ids = [call.id for call in response.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    calls = [(call.name, call.arguments) for call in response.tool_calls]
    return (response.content, response.finish_reason, calls)


def outcome(read: Callable[[], Outcome]) -> Outcome:
    try:
        return read()
    except LLMError as error:
        return type(error)


def openai_whole(value: object) -> Outcome:
    return meaning(openai.read_answer(json.dumps(value).encode(), model="asked"))


def anthropic_whole(value: object) -> Outcome:
    return meaning(anthropic.read_answer(json.dumps(value).encode(), model="asked"))


def embedded(value: object) -> Outcome:
    answer = embeddings.read_answer(json.dumps(value).encode(), count=2, model="asked")
    assert answer.model
    return ([list(vector) for vector in answer.vectors],)


def streamed(answer: StreamedAnswer, events: list[JSONObject | str]) -> Outcome:
    for data in events:
        text = data if isinstance(data, str) else json.dumps(data)
        answer.feed(ServerSentEvent(text))
    return meaning(answer.response(closed=True))


OPENAI_USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "input_tokens": 3,
    "output_tokens": 2,
    "prompt_cache_hit_tokens": 1,
    "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def call(index: int, name: str) -> JSONObject:
    return {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": '{"x": 1}'}}


COMPLETION = {
    "id": "a1",
    "model": "m",
    "choices": [
        {
            "message": {
                "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
                "tool_calls": [call(0, "f"), call(1, "g")],
            },
            "finish_reason": "tool_calls",
            "usage": OPENAI_USAGE,
        }
    ],
    "usage": OPENAI_USAGE,
    "service_tier": "flex",
    "prompt_filter_results": [{}],
}
REFUSAL = {
    "choices": [
        {
            "message": {"content": [{"type": "refusal", "refusal": "I "}], "refusal": "won't"},
            "finish_reason": "stop",
        }
    ]
}
OLD_CALL = {
    "choices": [
        {
            "message": {"content": "Hi", "function_call": {"name": "f", "arguments": '{"x": 1}'}},
            "finish_reason": "function_call",
        }
    ]
}


def chunk(delta: JSONObject, reason: str | None = None, **more: object) -> JSONObject:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, **more}
    return {"id": "a1", "model": "m", "choices": [choice]}


OPENAI_EVENTS: list[JSONObject | str] = [
    chunk({"role": "assistant", "content": ""}),
    chunk(
        {
            "reasoning_content": "Hm",
            "reasoning": "Hm",
            "reasoning_details": ["Hm"],
            "thinking": "Hm",
        }
    ),
    chunk({"content": "Hel"}),
    chunk({"content": [{"type": "text", "text": "lo"}]}),
    chunk(
        {"tool_calls": [{"index": 0, "id": "c0", "function": {"name": "f", "arguments": '{"x"'}}]}
    ),
    chunk(
        {"tool_calls": [{"index": 0, "id": "c0", "function": {"name": "f", "arguments": ": 1}"}}]}
    ),
    chunk({"tool_calls": [call(1, "g")]}),
    {
        **chunk({}, "tool_calls", usage=OPENAI_USAGE),
        "x_groq": {"usage": OPENAI_USAGE},
        "service_tier": "flex",
        "prompt_filter_results": [{}],
    },
    {"choices": [], "usage": OPENAI_USAGE},
    "[DONE]",
]
OPENAI_WHOLE_IN_STREAM: list[JSONObject | str] = [
    {"choices": [{"message": {"refusal": "No"}, "finish_reason": "stop"}]},
]
OPENAI_OLD_IN_STREAM: list[JSONObject | str] = [
    chunk({"function_call": {"name": "f", "arguments": '{"x": 1}'}}),
    chunk({}, "function_call"),
    "[DONE]",
]


ANTHROPIC_USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "cache_creation_input_tokens": 1,
    "cache_read_input_tokens": 1,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 0},
    "service_tier": "batch",
}
MESSAGE: JSONObject = {
    "id": "a1",
    "type": "message",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": "c0", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "c1", "name": "g", "input": {"x": 1}},
    ],
    "stop_reason": "tool_use",
    "usage": ANTHROPIC_USAGE,
}


def block_delta(index: int, delta: JSONObject) -> JSONObject:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def block_start(index: int, block: JSONObject) -> JSONObject:
    return {"type": "content_block_start", "index": index, "content_block": block}


ANTHROPIC_EVENTS: list[JSONObject | str] = [
    {
        "type": "message_start",
        "message": {
            "id": "a1",
            "model": "m",
            "content": [{"type": "text", "text": "H"}],
            "usage": ANTHROPIC_USAGE,
        },
    },
    {"type": "ping"},
    block_start(0, {"type": "thinking", "thinking": ""}),
    block_delta(0, {"type": "thinking_delta", "thinking": "Hm"}),
    {"type": "content_block_stop", "index": 0},
    block_start(1, {"type": "text", "text": "e"}),
    block_delta(1, {"type": "text_delta", "text": "llo"}),
    {"type": "content_block_stop", "index": 1},
    block_start(2, {"type": "tool_use", "id": "c0", "name": "f", "input": {}}),
    block_delta(2, {"type": "input_json_delta", "partial_json": '{"x"'}),
    block_delta(2, {"type": "input_json_delta", "partial_json": ": 1}"}),
    {"type": "content_block_stop", "index": 2},
    block_start(3, {"type": "tool_use", "id": "c1", "name": "g", "input": {"x": 1}}),
    {"type": "content_block_stop", "index": 3},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": ANTHROPIC_USAGE,
    },
    {"type": "message_stop"},
]


VECTORS = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.5, 1]},
        {"object": "embedding", "index": 1, "embedding": "AAAAAAAAgD8="},
    ],
    "model": "m",
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


def events_of(
    name: str, kind: Any, make: Callable[[str], StreamedAnswer], events: list[JSONObject | str]
) -> Iterator[Case]:
    """A case for each event, read within the stream that it belongs to."""
    for at, event in enumerate(events):
        if isinstance(event, dict):

            def read(value: object, at: int = at) -> Outcome:
                return streamed(make("asked"), [*events[:at], value, *events[at + 1 :]])  # type: ignore[list-item]

            yield Case(f"{name}-{at}", kind, event, read, streamed=True)


OPENAI_CASES = [
    Case("completion", openai_wire.Completion, COMPLETION, openai_whole),
    Case("refusal", openai_wire.Completion, REFUSAL, openai_whole),
    Case("old call", openai_wire.Completion, OLD_CALL, openai_whole),
    Case("embeddings", embeddings.EmbeddingList, VECTORS, embedded),
    *events_of("chunk", openai_wire.Chunk, StreamedCompletion, OPENAI_EVENTS),
    *events_of("whole", openai_wire.Chunk, StreamedCompletion, OPENAI_WHOLE_IN_STREAM),
    *events_of("old", openai_wire.Chunk, StreamedCompletion, OPENAI_OLD_IN_STREAM),
]
ANTHROPIC_CASES = [
    Case("message", anthropic_wire.Message, MESSAGE, anthropic_whole),
    *events_of("event", anthropic_wire.StreamEvent, StreamedMessage, ANTHROPIC_EVENTS),
    *events_of("whole", anthropic_wire.StreamEvent, StreamedMessage, [MESSAGE]),
]
PROVIDERS = {"openai": OPENAI_CASES, "anthropic": ANTHROPIC_CASES}
CASES = [pytest.param(c, id=f"{p}-{c}") for p, cases in PROVIDERS.items() for c in cases]
