"""The whole service over the mock API, as a new user runs it: no key, no configuration."""

import json

import httpx2
import pytest

from tests.running_service import QUESTION, events_of


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_every_provider_answers_in_one_piece_and_in_pieces(
    api: httpx2.AsyncClient, provider: str
) -> None:
    question = {**QUESTION, "provider": provider}
    whole = (await api.post("/v1/chat", json=question)).json()
    events = events_of((await api.post("/v1/chat", json={**question, "stream": True})).text)
    assert whole["provider"] == provider
    assert whole["usage"]["total_tokens"] > 0
    assert [name for name, _ in events][-1] == "done"
    assert "".join(json.loads(data).get("text", "") for _, data in events[:-1]) == whole["content"]
    assert json.loads(events[-1][1])["content"] == whole["content"]


async def test_the_same_question_is_answered_from_the_cache(api: httpx2.AsyncClient) -> None:
    answers = [(await api.post("/v1/chat", json=QUESTION)).json() for _ in range(2)]
    assert [answer["cached"] for answer in answers] == [False, True]
    assert answers[0]["content"] == answers[1]["content"]


async def test_a_provider_that_is_not_there_is_a_bad_request(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/chat", json={**QUESTION, "provider": "skynet"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:problem:unknown-provider")
