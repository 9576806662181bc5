"""Which events of a stream show that the model is working, and which only that the server is alive."""

import json

import pytest

from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.openai.streaming import StreamedCompletion
from app.llm.providers.streamed import StreamedAnswer
from app.streaming.sse import ServerSentEvent
from tests.llm.samples import ANTHROPIC_START, OPENAI_USAGE_CHUNK, JSONObject, openai_delta


def progress(answer: StreamedAnswer, *events: JSONObject | str) -> int:
    for data in events:
        answer.feed(ServerSentEvent(data if isinstance(data, str) else json.dumps(data)))
    return answer.progress


CALL = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{"}}


@pytest.mark.parametrize(
    ("delta", "counts"),
    [
        ({"content": "Hi"}, True),
        ({"refusal": "No"}, True),
        ({"tool_calls": [CALL]}, True),
        ({"function_call": {"name": "f", "arguments": "{"}}, True),
        ({"reasoning_content": "Hm"}, True),
        ({"reasoning": "Hm"}, True),
        ({"thinking": "Hm"}, True),
        ({}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"content": None, "reasoning_content": None}, False),
    ],
    ids=json.dumps,
)
def test_openai_text_tool_calls_and_thinking_are_progress(
    delta: JSONObject, *, counts: bool
) -> None:
    assert progress(StreamedCompletion(), openai_delta(delta)[1]) == int(counts)


def test_openai_usage_is_no_progress() -> None:
    assert progress(StreamedCompletion(), OPENAI_USAGE_CHUNK[1]) == 0


@pytest.mark.parametrize(
    ("delta", "counts"),
    [
        ({"type": "text_delta", "text": "Hi"}, True),
        ({"type": "input_json_delta", "partial_json": "{"}, True),
        ({"type": "thinking_delta", "thinking": "Hm"}, True),
        ({"type": "signature_delta", "signature": "c"}, False),
        ({"type": "delta_of_the_future"}, False),
    ],
    ids=json.dumps,
)
def test_anthropic_text_tool_arguments_and_thinking_are_progress(
    delta: JSONObject, *, counts: bool
) -> None:
    event: JSONObject = {"type": "content_block_delta", "index": 0, "delta": delta}
    assert progress(StreamedMessage(), ANTHROPIC_START[1], {"type": "ping"}, event) == int(counts)
