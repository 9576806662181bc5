"""Batches: what is sent, what is sent once only, and what becomes of each request."""

import asyncio

import pytest

from app.errors import (
    AuthenticationError,
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderUnavailableError,
    RateLimitError,
    RequestRefusedError,
)
from app.llm.batch import BatchLimits, BatchResult, Outcome
from app.llm.types import LLMResponse
from app.testing import captured_logs
from tests.llm.batch_asker import Asker, texts
from tests.llm.fake_batches import Crashed, FakeBatchAPI, answer, request


async def test_each_request_gets_its_own_answer() -> None:
    asker = Asker(FakeBatchAPI())
    assert texts(await asker.ask("a", "b", "c")) == {"a": "a?", "b": "b?", "c": "c?"}
    assert len(asker.deliveries) == 1


async def test_an_answer_costs_the_price_of_batches() -> None:
    only = (await Asker(FakeBatchAPI()).ask("a"))["a"]
    assert isinstance(only, LLMResponse)
    assert only.cost_usd == (10 * 1 + 2 * 10) / 1_000_000 / 2
    assert (only.provider, only.usage.service_tier) == ("fake", "batch")


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        pytest.param(BatchLimits(requests=2, bytes=10**6), [2, 2, 1], id="requests"),
        pytest.param(BatchLimits(requests=100, bytes=3 * 202), [3, 2], id="bytes"),
        pytest.param(BatchLimits(requests=100, bytes=10**6), [5], id="one"),
        pytest.param(BatchLimits(100, 10**6, one_model=True), [3, 2], id="models"),
    ],
)
async def test_requests_above_a_limit_become_several_batches(
    limits: BatchLimits, sizes: list[int]
) -> None:
    api = FakeBatchAPI(limits=limits)
    asked = {f"{n}": request(f"{n}?", model="mn"[n % 2]) for n in range(5)}
    got: dict[str, Outcome] = {}
    await Asker(api).batches().run(asked, got.update)
    assert [len(entries) for entries in api.submitted.values()] == sizes
    assert texts(got) == {f"{n}": f"{n}?" for n in range(5)}


async def test_a_request_too_large_for_any_batch_is_refused_alone() -> None:
    api = FakeBatchAPI(limits=BatchLimits(requests=9, bytes=300))
    outcomes = await Asker(api).ask("a", large="x" * 101)
    assert texts(outcomes) == {"a": "a?", "large": "RequestRefusedError"}
    assert str(outcomes["large"]) == ("fake takes 300 bytes in a batch, and this request has 301")


async def test_pauses_between_looks_double_up_to_the_longest() -> None:
    asker = Asker(FakeBatchAPI(looks=8))
    await asker.ask("a")
    assert asker.clock.sleeps == [5, 10, 20, 40, 60, 60, 60]


async def test_a_batch_that_never_ends_is_a_timeout_and_is_continued_by_the_next_run() -> None:
    api = FakeBatchAPI(looks=10**9)
    asker = Asker(api)
    assert texts(await asker.ask("a")) == {"a": "ProviderTimeoutError"}
    assert 25 * 3600 < sum(asker.clock.sleeps) <= 26 * 3600
    api.looks = 1
    assert texts(await asker.ask("a")) == {"a": "a?"}
    assert api.questions == ["a?"]


async def test_failures_of_looks_and_downloads_that_pass_are_survived() -> None:
    lost = ProviderConnectionError("lost")
    api = FakeBatchAPI(polls=[ProviderUnavailableError("503"), lost], downloads=[lost])
    assert texts(await Asker(api).ask("a", "b")) == {"a": "a?", "b": "b?"}
    assert api.questions == ["a?", "b?"]


async def test_a_look_waits_as_long_as_the_provider_asks() -> None:
    asker = Asker(FakeBatchAPI(polls=[RateLimitError("429", retry_after_s=33)]))
    await asker.ask("a")
    assert asker.clock.sleeps == [33]


async def test_a_key_that_is_refused_meanwhile_fails_all_requests_at_once() -> None:
    api = FakeBatchAPI(polls=[AuthenticationError("401", status=401)])
    asker = Asker(api)
    assert texts(await asker.ask("a")) == {"a": "AuthenticationError"}
    assert texts(await asker.ask("a")) == {"a": "a?"}  # with a new key
    assert api.questions == ["a?"]


async def test_a_refused_submission_is_not_looked_for_by_the_next_run() -> None:
    api = FakeBatchAPI(before=[AuthenticationError("401", status=401)])
    asker = Asker(api)
    assert texts(await asker.ask("a")) == {"a": "AuthenticationError"}
    assert [each.is_over for each in asker.store.load()] == [True]


async def test_a_batch_that_the_provider_refuses_fails_all_of_its_requests() -> None:
    api = FakeBatchAPI(failure=RequestRefusedError("fake answered 400: line 1 is odd"))
    asker = Asker(api)
    assert texts(await asker.ask("a", "b")) == dict.fromkeys("ab", "RequestRefusedError")
    api.failure = None
    assert texts(await asker.ask("a", "b")) == {"a": "a?", "b": "b?"}


UNREADABLE = BatchResult(None, MalformedAnswerError("not JSON"))


@pytest.mark.parametrize(
    ("results", "flaws"),
    [
        pytest.param(["key1-0", "key1-1", "key1-1"], {"duplicate": 1}, id="duplicate"),
        pytest.param(["key1-0", "key1-1", "key9-1"], {"unknown": 1}, id="another-key"),
        pytest.param(["key1-0", "key1-1", "key1-2"], {"unknown": 1}, id="too-high"),
        pytest.param(["key1-0", "key1-1", "key1-01"], {"unknown": 1}, id="odd-number"),
        pytest.param(["key1-0", "key1-1", "key1--1"], {"unknown": 1}, id="negative"),
        pytest.param(["key1-0", "key1-1", "key1-²"], {"unknown": 1}, id="superscript"),
        pytest.param(["key1-0", "key1-1", ""], {"unknown": 1}, id="empty"),
        pytest.param(["key1-0"], {"missing": 1}, id="missing"),
        pytest.param(["key1-0", None], {"malformed": 1, "missing": 1}, id="malformed"),
        pytest.param([], {"missing": 2}, id="nothing"),
    ],
)
async def test_unusable_results_are_counted_and_harm_no_other_request(
    results: list[str | None], flaws: dict[str, int]
) -> None:
    given = [UNREADABLE if each is None else BatchResult(each, answer(each)) for each in results]
    with captured_logs() as logs:
        outcomes = await Asker(FakeBatchAPI(results_of=given)).ask("a", "b")
    lost = "MalformedAnswerError"
    expected = {"a": "key1-0", "b": "key1-1"}
    there = {name: each for name, each in expected.items() if each in results}
    assert texts(outcomes) == dict.fromkeys("ab", lost) | there
    [line] = logs.events("llm.batch_flaws")
    kinds = ("unknown", "duplicate", "malformed", "missing")
    assert {kind: line[kind] for kind in kinds if line[kind]} == flaws
    assert line["level"] == "warning"


async def test_a_batch_that_is_known_already_is_not_waited_for_in_search_of_a_lost_one() -> None:
    asker = Asker(api := FakeBatchAPI(certain=False))
    await asker.ask("x")
    api.after.append(Crashed())
    with pytest.raises(Crashed):
        await asker.ask("a")
    await asker.ask("a")
    assert api.looked["batch_1"] == 1


async def test_a_running_batch_is_cancelled_and_an_ended_one_is_not() -> None:
    asker = Asker(api := FakeBatchAPI(looks=10**9))
    await asker.ask("a")
    await asker.ask("b")
    api.looked["batch_1"] = 10**9
    assert await asker.batches().cancel() == 1
    assert api.cancelled == ["batch_2"]


async def test_a_batch_that_the_provider_has_lost_need_not_be_cancelled() -> None:
    asker = Asker(api := FakeBatchAPI())
    await asker.ask("a")
    api.submitted.clear()
    assert await asker.batches().cancel() == 0


async def test_an_unexpected_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await Asker(FakeBatchAPI(before=[ZeroDivisionError()])).ask("a")


def test_the_log_of_a_batch_has_its_cost() -> None:
    with captured_logs() as logs:
        asyncio.run(Asker(FakeBatchAPI()).ask("a", "b"))
    [sent], [ended] = logs.events("llm.batch_sent"), logs.events("llm.batch")
    assert (sent["batch_id"], sent["requests"]) == ("batch_1", 2)
    assert (ended["answered"], ended["cost_usd"]) == (2, 0.00003)
