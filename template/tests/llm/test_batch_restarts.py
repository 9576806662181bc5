"""Batches that are lost, found and continued: nothing is sent twice."""

from pathlib import Path

import pytest

from app.errors import MalformedAnswerError, ProviderTimeoutError, ProviderUnavailableError
from app.llm.batch import BatchResult
from app.llm.batch_store import FileBatchStore
from app.testing import captured_logs
from tests.llm.batch_asker import Asker, texts
from tests.llm.fake_batches import Crashed, FakeBatchAPI, answer

LOST = ProviderTimeoutError("no answer in time")


@pytest.mark.parametrize("certain", [True, False], ids=["by-key", "by-results"])
async def test_a_submission_without_an_answer_is_found_and_not_repeated(*, certain: bool) -> None:
    api = FakeBatchAPI(certain=certain, after=[LOST])
    assert texts(await Asker(api).ask("a", "b")) == {"a": "a?", "b": "b?"}
    assert api.questions == ["a?", "b?"]


async def test_a_submission_that_did_not_arrive_is_repeated() -> None:
    api = FakeBatchAPI(before=[LOST, ProviderUnavailableError("503")])
    assert texts(await Asker(api).ask("a")) == {"a": "a?"}
    assert api.questions == ["a?"]


CRASHES = {
    "before-it-was-sent": "before",
    "between-sent-and-saved": "after",
    "while-it-runs": "polls",
    "in-the-download": "downloads",
}


@pytest.mark.parametrize("certain", [True, False], ids=["by-key", "by-results"])
@pytest.mark.parametrize("moment", CRASHES.values(), ids=CRASHES)
async def test_after_a_crash_each_request_has_been_sent_once(
    tmp_path: Path, moment: str, *, certain: bool
) -> None:
    api = FakeBatchAPI(certain=certain)
    getattr(api, moment).append(Crashed())
    path = tmp_path / "batches.jsonl"
    with pytest.raises(Crashed):
        await Asker(api, FileBatchStore(path)).ask("a", "b")
    restarted = Asker(api, FileBatchStore(path), first_key=100)
    assert texts(await restarted.ask("a", "b")) == {"a": "a?", "b": "b?"}
    assert api.questions == ["a?", "b?"]


async def test_batches_of_others_are_not_taken_for_the_lost_one() -> None:
    api = FakeBatchAPI(certain=False, before=[None, Crashed()])
    asker = Asker(api)
    await Asker(api).ask("x", "y")  # of another process, with as many requests
    foreign = api.submitted["batch_1"]
    api.submitted["batch_1"] = [each._replace(custom_id=f"z{each.custom_id}") for each in foreign]
    with pytest.raises(Crashed):
        await asker.ask("a", "b")
    assert texts(await asker.ask("a", "b")) == {"a": "a?", "b": "b?"}
    assert api.questions == ["x?", "y?", "a?", "b?"]


async def test_a_batch_that_the_provider_has_lost_is_sent_again_with_a_warning() -> None:
    asker = Asker(api := FakeBatchAPI())
    await asker.ask("a")
    api.submitted.clear()
    with captured_logs() as logs:
        assert texts(await asker.ask("a")) == {"a": "a?"}
    assert [each["level"] for each in logs.events("llm.batch_lost")] == ["warning"]


async def test_a_changed_question_is_sent_and_an_unchanged_one_is_not() -> None:
    asker = Asker(api := FakeBatchAPI())
    await asker.ask("a", "b")
    assert texts(await asker.ask("a", b="another?")) == {"a": "a?", "b": "another?"}
    assert api.questions == ["a?", "b?", "another?"]


async def test_a_request_without_an_answer_is_sent_again_by_the_next_run() -> None:
    expired = ProviderTimeoutError("its batch expired")
    results = [BatchResult("key1-0", answer("a?")), BatchResult("key1-1", expired)]
    asker = Asker(api := FakeBatchAPI(results_of=results))
    assert texts(await asker.ask("a", "b")) == {"a": "a?", "b": "ProviderTimeoutError"}
    api.results_of = None
    assert texts(await asker.ask("a", "b")) == {"a": "a?", "b": "b?"}
    assert api.questions == ["a?", "b?", "b?"]


async def test_an_answer_that_cannot_be_read_was_paid_for_and_is_not_asked_again() -> None:
    odd = MalformedAnswerError("fake sent a malformed answer")
    asker = Asker(api := FakeBatchAPI(results_of=[BatchResult("key1-0", odd)]))
    for _ in range(2):
        assert texts(await asker.ask("a")) == {"a": "MalformedAnswerError"}
    assert api.questions == ["a?"]
