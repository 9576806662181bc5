import asyncio

import pytest

from app.llm.types import ChatRequest, Message
from app.settings import Settings
from evals.stack import open_stack, uses_mock

QUESTION = ChatRequest(messages=(Message("user", "Yes?"),))


async def test_nothing_is_answered_from_a_cache(settings: Settings) -> None:
    async with open_stack(settings) as stack:
        answers = [await stack.model.complete(QUESTION) for _ in range(2)]
    assert [answer.cached for answer in answers] == [False, False]


async def test_trials_asked_at_the_same_time_are_calls_of_their_own(settings: Settings) -> None:
    """Equal calls in flight are joined where there is a cache: repeats would be one answer."""
    async with open_stack(settings) as stack:
        answers = await asyncio.gather(*(stack.model.complete(QUESTION) for _ in range(3)))
    assert [answer.cached for answer in answers] == [False] * 3


async def test_a_mock_is_asked_as_often_as_there_are_questions(settings: Settings) -> None:
    questions = 2 * settings.rate_limit.requests_per_minute
    async with open_stack(settings) as stack, asyncio.timeout(20):
        for _ in range(questions):
            await stack.model.complete(QUESTION)


@pytest.mark.parametrize(
    ("providers", "url", "mocked"),
    [
        pytest.param("openai,anthropic", None, True, id="untouched"),
        pytest.param("openai,anthropic", "https://api.openai.com/v1", False, id="one-is-real"),
        pytest.param(
            "anthropic", "https://api.openai.com/v1", True, id="the-real-one-is-not-asked"
        ),
    ],
)
def test_the_mock_is_used_only_without_a_real_provider(
    monkeypatch: pytest.MonkeyPatch, providers: str, url: str | None, *, mocked: bool
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", providers)
    if url is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert uses_mock(Settings()) is mocked
