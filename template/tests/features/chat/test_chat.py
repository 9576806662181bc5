import pytest

from app.errors import (
    AuthenticationError,
    ContextTooLongError,
    LLMError,
    MalformedAnswerError,
    ModelNotFoundError,
    NothingCanAnswerError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    UnknownModelError,
    UnknownProviderError,
    UnsupportedRequestError,
)
from app.llm.types import ChatRequest, Message
from app.testing import FakeChatModel
from tests.running_service import RunningService, opened


async def test_a_question_is_answered_with_the_whole_response(service: RunningService) -> None:
    answer = await service.ask()
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
    service: RunningService, model: FakeChatModel
) -> None:
    wishes = {"provider": "openai", "model": "gpt-x", "temperature": 0.5, "max_tokens": 7}
    system = {"role": "system", "content": "Be brief."}
    await service.ask(messages=[system, {"role": "user", "content": "Hi"}], **wishes)
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
    service: RunningService, model: FakeChatModel, sent: str, received: str
) -> None:
    await service.ask(messages=[{"role": "user", "content": sent}])
    assert model.requests[0].messages[0].content == received


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(UnknownProviderError("no such provider"), 422, id="unknown provider"),
        pytest.param(UnsupportedRequestError("too hot"), 422, id="not offered by the provider"),
        pytest.param(RequestRefusedError("no such field"), 422, id="refused by the provider"),
        pytest.param(ContextTooLongError("too long"), 422, id="too long for the model"),
        pytest.param(UnknownModelError("no such model"), 404, id="a model that the caller named"),
        pytest.param(ModelNotFoundError("no such model"), 502, id="a model of the settings"),
        pytest.param(ProviderUnavailableError("broken", status=500), 502, id="provider broken"),
        pytest.param(ProviderConnectionError("no route"), 502, id="provider out of reach"),
        pytest.param(AuthenticationError("bad key"), 502, id="provider does not know us"),
        pytest.param(QuotaExhaustedError("no money"), 502, id="money spent"),
        pytest.param(MalformedAnswerError("no choices"), 502, id="provider talks nonsense"),
        pytest.param(RateLimitError("slow down"), 503, id="provider too busy"),
        pytest.param(
            NothingCanAnswerError([ProviderTimeoutError("slow")]), 503, id="nothing left to try"
        ),
        pytest.param(ProviderTimeoutError("too slow"), 504, id="provider too slow"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])
async def test_an_error_before_the_first_token_has_its_own_status(
    error: LLMError, status: int, *, stream: bool
) -> None:
    async with opened(FakeChatModel(error)) as service:
        answer = await service.ask(stream=stream)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"] == error.message


async def test_a_known_pause_is_sent_as_retry_after_in_whole_seconds() -> None:
    error = NothingCanAnswerError(
        [RateLimitError("busy", retry_after_s=1.2), ProviderTimeoutError("slow")]
    )
    async with opened(FakeChatModel(error)) as service:
        answer = await service.ask()
    assert answer.headers["retry-after"] == "2"


async def test_an_unknown_pause_is_not_invented() -> None:
    async with opened(FakeChatModel(RateLimitError("busy"))) as service:
        assert "retry-after" not in (await service.ask()).headers


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestRefusedError("no"), "request-refused"),
        (ContextTooLongError("no"), "context-too-long"),
        (UnknownModelError("no"), "model-not-found"),
        (ModelNotFoundError("no"), "provider-failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, LLMError) else "",
)
async def test_a_mistake_of_the_caller_has_its_own_type(error: LLMError, kind: str) -> None:
    async with opened(FakeChatModel(error)) as service:
        assert (await service.ask()).json()["type"] == f"urn:problem:{kind}"


@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])
@pytest.mark.parametrize(("cache", "fresh"), [(None, False), (True, False), (False, True)])
async def test_cache_false_requests_a_new_answer(
    service: RunningService, model: FakeChatModel, *, cache: bool | None, fresh: bool, stream: bool
) -> None:
    answer = await service.ask(stream=stream, **({} if cache is None else {"cache": cache}))
    assert answer.status_code == 200
    assert model.requests[0].fresh is fresh


@pytest.mark.parametrize("cache", [None, 0, "false"], ids=repr)
async def test_cache_is_a_boolean(service: RunningService, cache: object) -> None:
    assert (await service.ask(cache=cache)).status_code == 422


@pytest.mark.parametrize(("sent", "asked"), [(8, 8), (8.0, 8)], ids=["8", "8.0"])
async def test_a_whole_number_may_be_written_as_a_fraction(
    service: RunningService, model: FakeChatModel, sent: float, asked: int
) -> None:
    assert (await service.ask(max_tokens=sent)).status_code == 200
    assert repr(model.requests[0].max_tokens) == repr(asked)


@pytest.mark.parametrize("sent", [8.5, True, "8", 1e300, -1.0, 0.0], ids=repr)
async def test_any_other_number_of_tokens_is_refused(service: RunningService, sent: object) -> None:
    assert (await service.ask(max_tokens=sent)).status_code == 422
