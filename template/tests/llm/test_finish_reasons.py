"""The reasons for the end of an answer, in the words of each provider."""

import pytest

from app.errors import ProviderUnavailableError
from app.testing import captured_logs
from tests.llm.changed_answers import GONE, answered, changed
from tests.llm.samples import ANTHROPIC, OPENAI, TEXT, JSONObject, Sample


@pytest.mark.parametrize("reason", [GONE, None, "", 7], ids=["gone", "null", "empty", "number"])
@pytest.mark.parametrize(
    ("sample", "field"),
    [(OPENAI, "choices.0.finish_reason"), (ANTHROPIC, "stop_reason")],
    ids=["openai", "anthropic"],
)
async def test_a_whole_answer_without_a_finish_is_whole(
    sample: Sample, field: str, reason: object
) -> None:
    response = await answered(sample, changed(sample, field, reason))
    assert (response.content, response.finish_reason) == (TEXT, "stop")


@pytest.mark.parametrize("word", ["error", "ERROR"])
async def test_a_finish_that_is_an_error_is_one(word: str) -> None:
    with pytest.raises(ProviderUnavailableError, match="failed while it answered"):
        await answered(OPENAI, changed(OPENAI, "choices.0.finish_reason", word))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("eos_token", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
    ],
)
async def test_other_words_for_a_finish_are_understood(word: str, reason: str) -> None:
    response = await answered(OPENAI, changed(OPENAI, "choices.0.finish_reason", word))
    assert response.finish_reason == reason


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
async def test_each_finish_reason_of_openai_is_mapped(
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
async def test_each_stop_reason_of_anthropic_is_mapped(reason: str, finish_reason: str) -> None:
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
async def test_an_unknown_finish_reason_is_logged(sample: Sample, field: str) -> None:
    with captured_logs() as logs:
        await answered(sample, changed(sample, field, "new"))
    assert logs.events("llm.unknown_finish_reason")[0]["reason"] == "new"
