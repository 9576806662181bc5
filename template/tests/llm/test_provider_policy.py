from dataclasses import fields, replace

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from app.cache import MemoryCache
from app.llm.costs import Receipt
from app.llm.guards.cached import Cached
from app.llm.guards.guard import WithDefaults, stacked
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import AnswerSchema, ChatRequest
from app.testing import FakeChatModel
from tests.llm.samples import REQUEST

POLICY = TypeAdapter(ProviderPolicy)
GOOD = {"base_url": "https://provider.test/v1", "model": "m"}


def test_a_key_loses_the_newline_of_its_file() -> None:
    assert POLICY.validate_python({**GOOD, "api_key": " sk-1\n"}).key == "sk-1"


@pytest.mark.parametrize("key", ["", "  ", "sk-\n1", "sk-ü", "sk-\0"], ids=repr)
def test_a_key_that_cannot_be_sent_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="printable ASCII"):
        POLICY.validate_python({**GOOD, "api_key": key})


@pytest.mark.parametrize("url", ["", "provider.test", "ftp://x", "https://", "https://a b"])
def test_an_address_that_is_not_one_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        POLICY.validate_python({**GOOD, "base_url": url})


def test_a_key_is_not_shown() -> None:
    policy = ProviderPolicy("https://provider.test", "m", api_key=SecretStr("sk-secret"))
    assert "sk-secret" not in repr(policy)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ChatRequest(()), ("m", 0.3, 9)),
        (ChatRequest((), model="x", temperature=0.0, max_tokens=1), ("x", 0.0, 1)),
    ],
    ids=["all from the settings", "all from the request"],
)
async def test_every_guard_sees_the_request_with_its_defaults(
    request_: ChatRequest, expected: tuple[str, float, int]
) -> None:
    model = FakeChatModel()
    policy = ProviderPolicy("https://provider.test", "m", temperature=0.3, max_tokens=9)
    await stacked(model, [WithDefaults(policy)]).complete(request_)
    async for _ in stacked(model, [WithDefaults(policy)]).stream(request_):
        pass
    assert len(model.requests) == 2
    for seen in model.requests:
        assert (seen.model, seen.temperature, seen.max_tokens) == expected


def test_a_resolved_request_keeps_all_that_the_caller_asked_for() -> None:
    policy = ProviderPolicy("https://provider.test", "m", max_tokens=9)
    schema, receipt = AnswerSchema("a", {}), Receipt()
    asked = ChatRequest(
        REQUEST.messages,
        provider="one",
        temperature=0.5,
        answer_schema=schema,
        tenant="t",
        fresh=True,
        receipt=receipt,
    )
    resolved = policy.applied_to(asked)
    assert resolved.receipt is receipt
    assert [getattr(resolved, each.name) for each in fields(ChatRequest)] == [
        getattr(replace(asked, model="m", max_tokens=9), each.name) for each in fields(ChatRequest)
    ]


def test_a_resolved_request_is_not_resolved_again() -> None:
    resolved = ProviderPolicy("https://one.test", "one", max_tokens=1).applied_to(REQUEST)
    other = ProviderPolicy("https://two.test", "two", temperature=1, max_tokens=2)
    assert other.applied_to(resolved) is resolved


async def test_closing_closes_the_stream_below() -> None:
    model = FakeChatModel(["a", "b"])
    stream = stacked(model, [WithDefaults(ProviderPolicy("https://provider.test", "m"))]).stream(
        REQUEST
    )
    await anext(stream)
    await stream.aclose()
    assert model.open_streams == 0


async def test_another_model_in_the_settings_is_another_question_to_a_shared_cache() -> None:
    model, cache = FakeChatModel(), MemoryCache()
    for name in ("m1", "m2", "m1"):
        policy = ProviderPolicy("https://provider.test", name)
        await stacked(model, [WithDefaults(policy), Cached(cache)]).complete(REQUEST)
    assert [request.model for request in model.requests] == ["m1", "m2"]
