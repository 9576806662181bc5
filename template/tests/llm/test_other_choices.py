"""Only the first choice is read, so a fault in another one costs no answer."""

import orjson
import pytest

from app.llm.providers.boundary import parsed, validated
from app.llm.providers.openai.convert import response_from_wire
from app.llm.providers.openai.streaming import StreamedCompletion
from app.llm.providers.openai.wire import COMPLETION
from app.streaming.sse import ServerSentEvent

OTHERS = {
    "no message": {"index": 1, "message": None, "delta": None},
    "wrong text": {"index": 1, "message": {"content": 7}, "delta": {"content": 7}},
    "index as text": {"index": "1", "message": [], "delta": [1]},
    "wrong tools": {"index": 2.0, "message": {"tool_calls": "x"}, "delta": {"tool_calls": "x"}},
}
others = pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)


@others
def test_a_faulty_second_choice_costs_no_whole_answer(other: object) -> None:
    first = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}
    body = orjson.dumps({"choices": [first, other]})
    answer = response_from_wire(validated(COMPLETION, parsed(body, "openai"), "openai"), model="m")
    assert answer.content == "Hello"


@others
def test_a_faulty_second_choice_costs_no_streamed_answer(other: object) -> None:
    first = {"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}
    stream = StreamedCompletion("m")
    stream.feed(ServerSentEvent(orjson.dumps({"choices": [first, other]}).decode()))
    stream.feed(ServerSentEvent("[DONE]"))
    answer = stream.response()
    assert answer is not None
    assert answer.content == "Hello"
