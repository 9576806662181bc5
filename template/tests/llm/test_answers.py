"""From a provider's answer to ours: nothing lost, nothing invented, nothing malformed let in."""

import copy
import json
import traceback
from typing import Any

import httpx2 as httpx
import pytest

from app.errors import MalformedAnswer
from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import LLMResponse
from app.testing import captured_logs
from tests.llm.samples import ANTHROPIC, OPENAI, REQUEST, SAMPLES, TEXT, JSONObject, Sample

SECRET = "the patient's name"
GONE = object()


async def answered(sample: Sample, answer: object) -> LLMResponse:
    body = json.dumps(answer).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with open_connections(HTTPPolicy(), transport) as connections:
        return await sample.model(connections).complete(REQUEST)


def changed(sample: Sample, path: str, value: object) -> JSONObject:
    """The sample's answer with one place set to something else, or taken away."""
    answer = copy.deepcopy(sample.answer)
    place: Any = answer
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        place = place[part]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return answer


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_good_answer_is_converted(sample: Sample) -> None:
    assert await answered(sample, sample.answer) == sample.response


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_fields_that_are_new_are_ignored(sample: Sample) -> None:
    answer = {**sample.answer, "new": {"x": [1]}}
    assert await answered(sample, answer) == sample.response


OPENAI_FIELDS = [
    "id",
    "object",
    "model",
    "choices",
    "choices.0.message",
    "choices.0.message.content",
    "choices.0.message.role",
    "choices.0.finish_reason",
    "usage",
    "usage.prompt_tokens",
    "usage.completion_tokens",
    "usage.total_tokens",
]
ANTHROPIC_FIELDS = [
    "id",
    "type",
    "model",
    "content",
    "content.1.text",
    "stop_reason",
    "usage",
    "usage.input_tokens",
    "usage.output_tokens",
]
WRONG = {"gone": GONE, "null": None, "list": [SECRET], "true": True}
MALFORMED = [
    pytest.param(sample, field, value, id=f"{sample.name}-{field}-{how}")
    for sample, fields in [(OPENAI, OPENAI_FIELDS), (ANTHROPIC, ANTHROPIC_FIELDS)]
    for field in fields
    for how, value in WRONG.items()
    # OpenAI says null where there is no text.
    if (field, how) != ("choices.0.message.content", "null")
]


@pytest.mark.parametrize(("sample", "field", "value"), MALFORMED)
async def test_a_malformed_answer_names_the_field_and_not_its_content(
    sample: Sample, field: str, value: object
) -> None:
    with pytest.raises(MalformedAnswer) as raised:
        await answered(sample, changed(sample, field, value))
    named = raised.value.message.partition("malformed answer: ")[2].partition(": ")[0]
    assert named.replace(".text.text", ".text").startswith(field)
    everything = "".join(traceback.format_exception(raised.value))
    assert SECRET not in everything
    assert TEXT not in everything


@pytest.mark.parametrize("number", ["9", -1, 9.5], ids=["text", "negative", "fraction"])
async def test_a_count_of_tokens_is_a_natural_number(number: object) -> None:
    with pytest.raises(MalformedAnswer, match=r"usage\.total_tokens"):
        await answered(OPENAI, changed(OPENAI, "usage.total_tokens", number))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("answer", [None, [], "text", 7], ids=repr)
async def test_something_else_than_an_object_is_malformed(sample: Sample, answer: object) -> None:
    with pytest.raises(MalformedAnswer, match="malformed answer: answer: "):
        await answered(sample, answer)


async def test_an_answer_without_choices_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="choices: is empty"):
        await answered(OPENAI, changed(OPENAI, "choices", []))


@pytest.mark.parametrize(
    ("message", "reason", "content", "finish_reason"),
    [
        ({"content": "Hi"}, "length", "Hi", "length"),
        ({"content": None}, "content_filter", "", "content_filter"),
        ({"content": None, "refusal": "I won't."}, "stop", "I won't.", "refusal"),
        ({"content": None, "tool_calls": None}, "function_call", "", "tool_calls"),
        (
            {
                "content": None,
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            "tool_calls",
            "",
            "tool_calls",
        ),
        ({"content": "Hi"}, "reason_of_the_future", "Hi", "length"),
    ],
    ids=["length", "filter", "refusal", "function", "tools", "unknown"],
)
async def test_openai_stops_for_a_reason(
    message: JSONObject, reason: str, content: str, finish_reason: str
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    response = await answered(OPENAI, changed(OPENAI, "choices", [choice]))
    assert (response.content, response.finish_reason) == (content, finish_reason)


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("reason_of_the_future", "length"),
    ],
)
async def test_anthropic_stops_for_a_reason(reason: str, finish_reason: str) -> None:
    response = await answered(ANTHROPIC, changed(ANTHROPIC, "stop_reason", reason))
    assert response.finish_reason == finish_reason


async def test_an_anthropic_answer_may_be_a_tool_call_and_no_text() -> None:
    block = {"type": "tool_use", "id": "1", "name": "f", "input": {"city": "Berlin"}}
    answer = {**changed(ANTHROPIC, "content", [block]), "stop_reason": "tool_use"}
    response = await answered(ANTHROPIC, answer)
    assert (response.content, response.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize(
    ("sample", "field"),
    [(OPENAI, "choices.0.finish_reason"), (ANTHROPIC, "stop_reason")],
    ids=["openai", "anthropic"],
)
async def test_a_reason_that_nobody_knows_is_logged(sample: Sample, field: str) -> None:
    with captured_logs() as logs:
        await answered(sample, changed(sample, field, "new"))
    assert logs.events("llm.unknown_finish_reason")[0]["reason"] == "new"
