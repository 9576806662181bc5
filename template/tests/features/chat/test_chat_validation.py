"""An invalid request is refused with the field and the reason."""

from typing import Any

import pytest

from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import RunningService

USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("change", "where", "why"),
    [
        pytest.param({"messages": []}, ["messages"], "at least 1 item", id="no message"),
        pytest.param({"messages": [USER] * 201}, ["messages"], "at most 200", id="201 messages"),
        pytest.param({"messages": "Hi"}, ["messages"], "valid list", id="a text for messages"),
        pytest.param(
            {"messages": [{"role": "god", "content": "Hi"}]},
            ["messages", 0, "role"],
            "'system', 'user', 'assistant' or 'tool'",
            id="an unknown role",
        ),
        pytest.param(
            {"messages": [{"role": "calling", "content": "Hi"}]},
            ["messages", 0, "role"],
            "'system', 'user', 'assistant' or 'tool'",
            id="a role that is only a name in the code",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": " \n"}]},
            ["messages", 0, "content"],
            "at least 1 character",
            id="blank content",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "x" * 100_001}]},
            ["messages", 0, "content"],
            "at most 100000 characters",
            id="endless content",
        ),
        pytest.param(
            {"messages": [{**USER, "name": "x"}]},
            ["messages", 0, "name"],
            "not permitted",
            id="an unknown field of a message",
        ),
        pytest.param(
            {"messages": [USER, {"role": "assistant", "content": "So"}]},
            ["messages"],
            "the last message must have the role 'user'",
            id="an answer at the end",
        ),
        pytest.param({"temperature": 2.1}, ["temperature"], "less than or equal to 2", id="hot"),
        pytest.param({"temperature": -1}, ["temperature"], "greater than or", id="freezing"),
        pytest.param({"temperature": "1"}, ["temperature"], "valid number", id="a text for 1"),
        pytest.param(
            {"max_tokens": 0}, ["max_tokens"], "greater than or equal to 1", id="0 tokens"
        ),
        pytest.param({"max_tokens": 1_000_001}, ["max_tokens"], "less than", id="endless tokens"),
        pytest.param({"model": "a b"}, ["model"], "pattern", id="a model with a space"),
        pytest.param({"model": "x" * 129}, ["model"], "pattern", id="an endless model"),
        pytest.param({"provider": ""}, ["provider"], "pattern", id="a nameless provider"),
        pytest.param({"stream": "yes"}, ["stream"], "valid boolean", id="a text for true"),
        pytest.param({"temprature": 1}, ["temprature"], "not permitted", id="a mistyped field"),
    ],
)
async def test_an_invalid_body_is_refused_with_the_field_and_the_reason(
    service: RunningService,
    model: FakeChatModel,
    change: dict[str, Any],
    where: list[str | int],
    why: str,
) -> None:
    answer = await service.ask(**change)
    assert answer.status_code == 422
    problem = answer.json()
    assert [error["loc"] for error in problem["errors"]] == [["body", *where]]
    assert why in problem["errors"][0]["msg"]
    assert why in problem["detail"]
    assert model.requests == []


async def test_the_detail_writes_paths_in_the_callers_notation(service: RunningService) -> None:
    answer = await service.ask(messages=[{"role": "user"}], foo=1)
    assert answer.json()["detail"] == (
        "messages[0].content: Field required; foo: Extra inputs are not permitted"
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half an object"),
        pytest.param(b"hello", id="a word"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b"\xff\xfe", id="bytes that are no UTF-8"),
        pytest.param(b"[" * 100_000, id="a hundred thousand brackets"),
        pytest.param(b'{"a\\ud800": 1}', id="half a surrogate pair as a name"),
        pytest.param(b'{"messages": [{"role": "user", "content": "\\ud800"}]}', id="and as a text"),
        pytest.param(b'{"messages": [], "temperature": NaN}', id="not a number"),
    ],
)
async def test_a_body_that_cannot_be_read_is_the_same_problem(
    service: RunningService, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await service.http.post("/v1/chat", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:problem:invalid-request"


async def test_a_missing_content_type_is_named_in_the_problem(service: RunningService) -> None:
    answer = await service.http.post("/v1/chat", content=b"{}")
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["detail"]


async def test_ten_thousand_mistakes_are_answered_with_a_short_list_of_errors(
    service: RunningService,
) -> None:
    answer = await service.ask(**{f"x{number}": 1 for number in range(10_000)})
    assert len(answer.json()["errors"]) == 20


async def test_a_refusal_is_logged_without_the_refused_content(
    service: RunningService, logs: CapturedLogs
) -> None:
    await service.ask(messages=[{"role": "confidential", "content": "confidential"}])
    (line,) = logs.events("request.refused")
    assert line["errors"][0]["loc"] == ["body", "messages", 0, "role"]
    assert "confidential" not in logs.text
