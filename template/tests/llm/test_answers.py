"""A provider's answer becomes an `LLMResponse`; a malformed answer is an error."""

import re
import traceback
from collections.abc import Callable

import httpx2 as httpx
import pytest

from app.errors import MalformedAnswerError
from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import Usage
from app.testing import captured_logs
from tests.llm.changed_answers import GONE, answered, changed
from tests.llm.samples import ANTHROPIC, OPENAI, REQUEST, SAMPLES, TEXT, JSONObject, Sample

SECRET = "the target's name"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_good_answer_is_converted(sample: Sample) -> None:
    assert await answered(sample, sample.answer) == sample.response


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_fields_that_are_new_are_ignored(sample: Sample) -> None:
    answer = {**sample.answer, "new": {"x": [1]}}
    assert await answered(sample, answer) == sample.response


# What no answer can be made without; `test_wire_kinds` has every field in every form.
NEEDED = [
    (OPENAI, "choices", {"gone": GONE, "null": None, "text": SECRET, "true": True}),
    (OPENAI, "choices.0.message", {"gone": GONE, "null": None, "list": [SECRET], "true": True}),
    (OPENAI, "choices.0.message.content", {"number": 7, "true": True, "list": [[SECRET]]}),
    (OPENAI, "choices.0.message.refusal", {"number": 7, "list": [SECRET]}),
    (OPENAI, "choices.0.message.tool_calls", {"number": 7, "text": SECRET}),
    (ANTHROPIC, "content", {"gone": GONE, "null": None, "number": 7, "true": True}),
    (ANTHROPIC, "content.1.text", {"number": 7, "list": [SECRET], "true": True}),
]
MALFORMED = [
    pytest.param(sample, field, value, id=f"{sample.name}-{field}-{how}")
    for sample, field, wrong in NEEDED
    for how, value in wrong.items()
]


@pytest.mark.parametrize(("sample", "field", "value"), MALFORMED)
async def test_a_malformed_answer_names_the_field_and_not_its_content(
    sample: Sample, field: str, value: object
) -> None:
    with pytest.raises(MalformedAnswerError) as raised:
        await answered(sample, changed(sample, field, value))
    named = raised.value.message.partition("malformed answer: ")[2].partition(": ")[0]
    assert named.startswith(re.sub(r"\.(\d+)", r"[\1]", field))
    everything = "".join(traceback.format_exception(raised.value))
    assert SECRET not in everything
    assert TEXT not in everything


COUNTED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        pytest.param(COUNTED, (3, 2, 5), id="known"),
        pytest.param({k: float(n) for k, n in COUNTED.items()}, (3, 2, 5), id="floats"),
        pytest.param({k: str(n) for k, n in COUNTED.items()}, (3, 2, 5), id="text"),
        pytest.param({"input_tokens": 3, "output_tokens": 2}, (3, 2, 5), id="other names"),
        pytest.param({**COUNTED, "total_tokens": None}, (3, 2, 5), id="no total"),
        pytest.param({**COUNTED, "total_tokens": 1}, (3, 2, 5), id="a total that is too small"),
        pytest.param({**COUNTED, "total_tokens": 9}, (3, 2, 9), id="a total with hidden tokens"),
        pytest.param({**COUNTED, "prompt_tokens": -3}, (3, 2, 5), id="negative, from the rest"),
        pytest.param({"prompt_tokens": 3}, (3, 0, 3), id="the prompt only"),
        pytest.param({"total_tokens": 5}, (0, 0, 5), id="the total only"),
    ],
)
async def test_usage_is_known_as_far_as_the_provider_tells(
    usage: JSONObject, tokens: tuple[int, int, int]
) -> None:
    with captured_logs() as logs:
        counted = (await answered(OPENAI, changed(OPENAI, "usage", usage))).usage
    assert (counted.prompt_tokens, counted.completion_tokens, counted.total_tokens) == tokens
    assert logs.events("llm.usage_missing") == []


NO_USAGE = [GONE, None, {}, [], 7, "5", {"prompt_tokens": -1}, {"input_tokens": 1.5}]


@pytest.mark.parametrize("usage", NO_USAGE, ids=["gone", *map(repr, NO_USAGE[1:])])
@pytest.mark.parametrize("sample", [OPENAI, ANTHROPIC], ids=lambda sample: sample.name)
async def test_a_usage_that_counts_nothing_costs_one_warning_and_not_the_answer(
    sample: Sample, usage: object
) -> None:
    with captured_logs() as logs:
        response = await answered(sample, changed(sample, "usage", usage))
    assert response.content == TEXT
    assert response.usage == Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    assert len(logs.events("llm.usage_missing")) == 1


async def test_reasoning_tokens_are_part_of_the_usage() -> None:
    usage = {**COUNTED, "completion_tokens_details": {"reasoning_tokens": 1}}
    response = await answered(OPENAI, changed(OPENAI, "usage", usage))
    assert response.usage.reasoning_tokens == 1


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_an_answer_without_a_name_gets_an_id_and_the_model_that_was_asked(
    sample: Sample,
) -> None:
    nameless = {k: v for k, v in sample.answer.items() if k not in {"id", "model"}}
    first, second = await answered(sample, nameless), await answered(sample, nameless)
    assert first.model == f"{sample.name}-model"
    assert first.id
    assert first.id != second.id


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param(
            [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], "Hello", id="parts"
        ),
        pytest.param([{"text": "Hello"}], "Hello", id="a part without a type"),
        pytest.param(["Hel", "lo"], "Hello", id="texts"),
        pytest.param({"type": "text", "text": "Hello"}, "Hello", id="one part"),
        pytest.param(
            [{"type": "thinking", "thinking": [{"text": "Hm"}]}, "Hello"],
            "Hello",
            id="Mistral's thinking",
        ),
        pytest.param([{"type": "reasoning", "text": 7}, "Hello"], "Hello", id="another kind"),
    ],
)
async def test_openai_content_may_be_parts(content: object, text: str) -> None:
    response = await answered(OPENAI, changed(OPENAI, "choices.0.message.content", content))
    assert response.content == text


async def test_anthropic_content_may_be_a_text() -> None:
    assert (await answered(ANTHROPIC, changed(ANTHROPIC, "content", "Hello"))).content == "Hello"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize(
    ("body", "content"),
    [
        pytest.param(lambda text: b"\xef\xbb\xbf" + text, TEXT, id="byte order mark"),
        pytest.param(lambda text: b"\n\n  " + text + b"\n", TEXT, id="white space"),
        pytest.param(
            lambda text: text.replace(b"\\ud83c\\udfd4", b"\\ud83c"),
            TEXT.replace("\N{SNOW CAPPED MOUNTAIN}", "\N{REPLACEMENT CHARACTER}"),
            id="half a surrogate pair",
        ),
    ],
)
async def test_a_body_may_be_odd_json(
    sample: Sample, body: Callable[[bytes], bytes], content: str
) -> None:
    sent = body(sample.body)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=sent))
    async with open_connections(HTTPPolicy(), transport) as connections:
        assert (await sample.model(connections).complete(REQUEST)).content == content


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("answer", [None, [], "text", 7], ids=repr)
async def test_an_answer_that_is_not_an_object_is_malformed(sample: Sample, answer: object) -> None:
    with pytest.raises(MalformedAnswerError, match="malformed answer: answer: "):
        await answered(sample, answer)


async def test_an_answer_without_choices_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError, match="choices: is empty"):
        await answered(OPENAI, changed(OPENAI, "choices", []))
