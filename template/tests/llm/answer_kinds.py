"""Kinds of answers of both providers, whole and streamed: tool calls, refusals, filters and cuts."""

import json
from dataclasses import dataclass

from app.llm.providers.streamed import StreamedAnswer
from app.llm.types import FinishReason, LLMResponse, ToolCall
from app.streaming.sse import ServerSentEvent
from tests.llm.samples import (
    ANTHROPIC,
    ANTHROPIC_START,
    ANTHROPIC_STOP,
    OPENAI,
    OPENAI_DONE,
    OPENAI_USAGE_CHUNK,
    JSONObject,
    anthropic_end,
    openai_delta,
)

Event = tuple[str, JSONObject | str]


# Stands for an id that the provider leaves out, so that the converter makes one.
GENERATED = "generated"


def with_known_id(call: ToolCall) -> ToolCall:
    made = call.id.startswith("call_")
    return call.model_copy(update={"id": GENERATED}) if made else call


def alike(response: LLMResponse | None) -> object:
    assert response is not None
    return response.model_copy(update={"tool_calls": [*map(with_known_id, response.tool_calls)]})


@dataclass(frozen=True)
class Kind:
    """One kind of answer, in both wire formats, and the response that it means."""

    whole: JSONObject
    events: list[Event]
    finish_reason: FinishReason
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    def says(self, response: LLMResponse | None) -> None:
        assert response is not None
        assert response.finish_reason == self.finish_reason
        assert response.content == self.content
        assert tuple(map(with_known_id, response.tool_calls)) == self.tool_calls
        assert response.usage.total_tokens == OPENAI.response.usage.total_tokens


def completion(message: JSONObject, reason: str) -> JSONObject:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return {**OPENAI.answer, "choices": [choice]}


def chunks(*deltas: JSONObject, reason: str) -> list[Event]:
    return [
        openai_delta({"role": "assistant", "content": None}),
        *map(openai_delta, deltas),
        openai_delta({}, reason),
        OPENAI_USAGE_CHUNK,
        OPENAI_DONE,
    ]


def azure(**fields: object) -> Event:
    """A chunk of Azure's content filter, which has no identity of its own."""
    blank = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    return "", {**blank, **fields}


def piece(index: int, arguments: str, **more: object) -> JSONObject:
    return {"index": index, "function": {"arguments": arguments, **more}}


def called(index: int, call_id: str, name: str) -> JSONObject:
    return {"id": call_id, "type": "function", **piece(index, "", name=name)}


def function(call_id: str, name: str, arguments: str) -> JSONObject:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


FILTERED = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": True}}}]
BERLIN = '{"city": "Berlin 🏔"}'
PARIS = '{"city": "Paris"}'
TWO_CALLS = (
    ToolCall(id="c1", name="weather", arguments=BERLIN),
    ToolCall(id="c2", name="weather", arguments=PARIS),
)


OPENAI_KINDS = {
    "two tool calls": Kind(
        completion(
            {
                "content": "Let me see.",
                "tool_calls": [function("c1", "weather", BERLIN), function("c2", "weather", PARIS)],
            },
            "tool_calls",
        ),
        chunks(
            {"content": "Let me see."},
            {"tool_calls": [called(0, "c1", "weather")]},
            {"tool_calls": [piece(0, BERLIN[:7])]},
            {"tool_calls": [called(1, "c2", "weather"), piece(0, BERLIN[7:])]},
            {"tool_calls": [piece(1, PARIS)]},
            reason="tool_calls",
        ),
        "tool_calls",
        content="Let me see.",
        tool_calls=TWO_CALLS,
    ),
    "a call that repeats its name": Kind(
        completion({"content": None, "tool_calls": [function("c1", "weather", "{}")]}, "stop"),
        chunks(
            {"tool_calls": [called(0, "c1", "weather")]},
            {"tool_calls": [{**piece(0, "{", name="weather"), "id": "c1"}]},
            {"tool_calls": [{**piece(0, "}", name="weather"), "id": "c1"}]},
            reason="stop",
        ),
        "stop",
        tool_calls=(ToolCall(id="c1", name="weather", arguments="{}"),),
    ),
    "a call without arguments": Kind(
        completion({"content": None, "tool_calls": [function("c1", "now", "")]}, "tool_calls"),
        chunks({"tool_calls": [called(0, "c1", "now")]}, reason="tool_calls"),
        "tool_calls",
        tool_calls=(ToolCall(id="c1", name="now", arguments="{}"),),
    ),
    "the old function call": Kind(
        completion(
            {"content": None, "function_call": {"name": "weather", "arguments": PARIS}},
            "function_call",
        ),
        chunks(
            {"function_call": {"name": "weather", "arguments": ""}},
            {"function_call": {"arguments": PARIS[:5]}},
            {"function_call": {"arguments": PARIS[5:]}, "tool_calls": None},
            reason="function_call",
        ),
        "tool_calls",
        tool_calls=(ToolCall(id=GENERATED, name="weather", arguments=PARIS),),
    ),
    "a refusal": Kind(
        completion({"content": None, "refusal": "I won't."}, "stop"),
        chunks({"refusal": "I "}, {"refusal": "won't."}, reason="stop"),
        "refusal",
        content="I won't.",
    ),
    "a filter that cuts": Kind(
        completion({"content": "How to"}, "content_filter"),
        chunks({"content": "How to"}, reason="content_filter"),
        "content_filter",
        content="How to",
    ),
    "a filter that leaves no choice": Kind(
        {**OPENAI.answer, "choices": [], "prompt_filter_results": FILTERED},
        [azure(prompt_filter_results=FILTERED), OPENAI_USAGE_CHUNK, OPENAI_DONE],
        "content_filter",
    ),
    "filter results beside an answer": Kind(
        {**completion({"content": "Hi"}, "stop"), "prompt_filter_results": FILTERED},
        [
            azure(prompt_filter_results=FILTERED),
            *chunks({"content": "Hi"}, reason="stop")[:-1],
            azure(choices=[{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]),
            OPENAI_DONE,
        ],
        "stop",
        content="Hi",
    ),
    "a limit": Kind(
        completion({"content": "Once upon"}, "length"),
        chunks({"content": "Once upon"}, reason="length"),
        "length",
        content="Once upon",
    ),
}


def message(*blocks: JSONObject, reason: str) -> JSONObject:
    return {**ANTHROPIC.answer, "content": list(blocks), "stop_reason": reason}


def block(index: int, start: JSONObject, *deltas: JSONObject) -> list[Event]:
    kinds = [("content_block_start", {"content_block": start})]
    kinds += [("content_block_delta", {"delta": delta}) for delta in deltas]
    kinds += [("content_block_stop", {})]
    return [(kind, {"type": kind, "index": index, **fields}) for kind, fields in kinds]


def messages(*blocks: list[Event], reason: str) -> list[Event]:
    flat = [event for one in blocks for event in one]
    return [ANTHROPIC_START, *flat, anthropic_end(reason), ANTHROPIC_STOP]


def text_block(text: str) -> JSONObject:
    return {"type": "text", "text": text}


def tool_use(call_id: str, name: str, arguments: str, kind: str = "tool_use") -> JSONObject:
    return {"type": kind, "id": call_id, "name": name, "input": json.loads(arguments)}


def text_delta(text: str) -> JSONObject:
    return {"type": "text_delta", "text": text}


def json_delta(text: str) -> JSONObject:
    return {"type": "input_json_delta", "partial_json": text}


ANTHROPIC_KINDS = {
    "two tool calls": Kind(
        message(
            text_block("Let me see."),
            tool_use("s1", "web_search", PARIS, kind="server_tool_use"),
            tool_use("c1", "weather", BERLIN),
            tool_use("c2", "weather", PARIS),
            reason="tool_use",
        ),
        messages(
            block(0, text_block(""), text_delta("Let me see.")),
            block(1, tool_use("s1", "web_search", "{}", "server_tool_use"), json_delta(PARIS)),
            block(
                2,
                tool_use("c1", "weather", "{}"),
                json_delta(""),
                json_delta(BERLIN[:4]),
                json_delta(BERLIN[4:]),
            ),
            block(3, tool_use("c2", "weather", "{}"), json_delta(PARIS)),
            reason="tool_use",
        ),
        "tool_calls",
        content="Let me see.",
        tool_calls=TWO_CALLS,
    ),
    "a call without arguments": Kind(
        message(tool_use("c1", "now", "{}"), reason="tool_use"),
        messages(block(0, tool_use("c1", "now", "{}"), json_delta("")), reason="tool_use"),
        "tool_calls",
        tool_calls=(ToolCall(id="c1", name="now", arguments="{}"),),
    ),
    "a call that was cut off": Kind(
        message(tool_use("c1", "now", "{}"), reason="max_tokens"),
        messages(block(0, tool_use("c1", "now", "{}")), reason="max_tokens"),
        "length",
        tool_calls=(ToolCall(id="c1", name="now", arguments="{}"),),
    ),
    "a refusal": Kind(
        message(reason="refusal"),
        messages(reason="refusal"),
        "refusal",
    ),
    "a refusal in the middle": Kind(
        message(text_block("How to"), reason="refusal"),
        messages(block(0, text_block(""), text_delta("How to")), reason="refusal"),
        "refusal",
        content="How to",
    ),
    "a limit": Kind(
        message(text_block("Once upon"), reason="max_tokens"),
        messages(block(0, text_block(""), text_delta("Once upon")), reason="max_tokens"),
        "length",
        content="Once upon",
    ),
}


def streamed(answer: StreamedAnswer, events: list[Event]) -> LLMResponse | None:
    for name, data in events:
        answer.feed(ServerSentEvent(data if isinstance(data, str) else json.dumps(data), name))
    return answer.response()
