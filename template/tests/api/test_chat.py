import pytest

from app.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    LLMError,
    MalformedAnswer,
    NothingCanAnswer,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    TimedOut,
    UnknownProvider,
    UnsupportedRequest,
)
from app.llm.types import ChatRequest, Message
from app.testing import FakeChatModel
from tests.door import Door, opened


async def test_a_question_is_answered_with_the_whole_response(door: Door) -> None:
    answer = await door.ask()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "id": "fake-1",
        "provider": "fake",
        "model": "fake-1",
        "content": "Hello!",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        "cost_usd": None,
        "cached": False,
        "latency_ms": 0.0,
    }


async def test_everything_that_was_asked_reaches_the_model(
    door: Door, model: FakeChatModel
) -> None:
    wishes = {"provider": "openai", "model": "gpt-x", "temperature": 0.5, "max_tokens": 7}
    system = {"role": "system", "content": "Be brief."}
    await door.ask(messages=[system, {"role": "user", "content": "Hi"}], **wishes)
    assert model.requests == [
        ChatRequest(
            messages=(Message("system", "Be brief."), Message("user", "Hi")),
            provider="openai",
            model="gpt-x",
            temperature=0.5,
            max_tokens=7,
        )
    ]


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        pytest.param("  Hi \n", "Hi", id="white space around it is removed"),
        pytest.param("a\r\nb", "a\nb", id="line ends are made one kind"),
        pytest.param("e\u0301", "\u00e9", id="accents are made one character"),
        pytest.param("a  b", "a  b", id="white space inside is kept"),
    ],
)
async def test_content_is_normalised(
    door: Door, model: FakeChatModel, sent: str, received: str
) -> None:
    await door.ask(messages=[{"role": "user", "content": sent}])
    assert model.requests[0].messages[0].content == received


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(UnknownProvider("no such provider"), 422, id="unknown provider"),
        pytest.param(UnsupportedRequest("too hot"), 422, id="not offered by the provider"),
        pytest.param(RequestRefused("too long"), 502, id="refused by the provider"),
        pytest.param(ProviderUnavailable("broken", status=500), 502, id="provider broken"),
        pytest.param(ConnectionFailed("no route"), 502, id="provider out of reach"),
        pytest.param(AuthenticationFailed("bad key"), 502, id="provider does not know us"),
        pytest.param(QuotaExhausted("no money"), 502, id="money spent"),
        pytest.param(MalformedAnswer("no choices"), 502, id="provider talks nonsense"),
        pytest.param(RateLimited("slow down"), 503, id="provider too busy"),
        pytest.param(NothingCanAnswer([TimedOut("slow")]), 503, id="nothing left to try"),
        pytest.param(TimedOut("too slow"), 504, id="provider too slow"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])
async def test_an_error_before_the_first_token_has_its_own_status(
    error: LLMError, status: int, *, stream: bool
) -> None:
    async with opened(FakeChatModel(error)) as door:
        answer = await door.ask(stream=stream)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"] == error.message


async def test_a_known_pause_is_told_in_whole_seconds() -> None:
    error = NothingCanAnswer([RateLimited("busy", retry_after_s=1.2), TimedOut("slow")])
    async with opened(FakeChatModel(error)) as door:
        answer = await door.ask()
    assert answer.headers["retry-after"] == "2"


async def test_an_unknown_pause_is_not_invented() -> None:
    async with opened(FakeChatModel(RateLimited("busy"))) as door:
        assert "retry-after" not in (await door.ask()).headers
