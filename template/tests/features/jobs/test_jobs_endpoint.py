"""`/v1/jobs` without a Redis: jobs run in the process of the API."""

import asyncio
import contextlib
from array import array
from typing import Any

import orjson
import pytest

from app.errors import ProviderTimeoutError
from app.features.jobs.events import frames
from app.features.jobs.kinds import installed
from app.features.jobs.memory import MemoryJobs
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import Outcome
from app.testing import FakeChatModel, captured_logs
from tests.client_keys import CLIENT_KEYS, KEYS
from tests.features.jobs.at_endpoint import QUESTIONS, at_the_end, created
from tests.features.jobs.both_sides import spec
from tests.running_service import events_of, opened

UNKNOWN = "/v1/jobs/job_" + "0" * 32


@pytest.mark.parametrize("kind", sorted(installed()))
def test_each_kind_is_described_by_the_schema(kind: str) -> None:
    assert installed()[kind].name == kind


async def test_a_job_is_accepted_and_its_results_can_be_read() -> None:
    async with opened(FakeChatModel("Hello.")) as service:
        response = await service.http.post("/v1/jobs", json={"kind": "chat", "items": QUESTIONS})
        assert response.status_code == 202
        accepted = response.json()
        assert response.headers["Location"] == f"/v1/jobs/{accepted['id']}"
        assert (accepted["state"], accepted["total"]) == ("queued", 3)
        job = await at_the_end(service, response.headers["Location"])
    assert (job["succeeded"], job["failed"], job["next"]) == (3, 0, None)
    assert sorted(each["index"] for each in job["results"]) == [0, 1, 2]
    assert {each["result"]["content"] for each in job["results"]} == {"Hello."}


async def test_texts_of_a_job_become_vectors() -> None:
    async with opened(FakeChatModel("")) as service:
        address = await created(service, "embeddings", ["a", " bcd "])
        job = await at_the_end(service, address)
    vectors = {each["index"]: each["result"]["embedding"] for each in job["results"]}
    assert vectors == {0: [1.0, 1.0], 1: [3.0, 1.0]}
    assert job["results"][0]["result"]["model"] == "fake-1"


def test_a_vector_is_stored_in_a_quarter_of_its_size_as_json() -> None:
    kind = installed()["embeddings"]
    shown = kind.shown({"model": "m", "embedding": "AACAPwAAAEA="})
    assert shown["embedding"] == list(array("f", [1.0, 2.0]))


async def test_an_error_is_that_of_its_item() -> None:
    model = FakeChatModel(ProviderTimeoutError("Too late"), "Hello.")
    async with opened(model) as service:
        address = await created(service, "chat", QUESTIONS[:2])
        job = await at_the_end(service, address)
    assert (job["succeeded"], job["failed"]) == (1, 1)
    (failed,) = [each for each in job["results"] if each["error"]]
    assert (failed["result"], failed["error"]["status"]) == (None, 504)


async def test_pages_have_the_cursor_of_the_next_one() -> None:
    async with opened(FakeChatModel("Hello.")) as service:
        address = await created(service, "chat", QUESTIONS)
        await at_the_end(service, address)
        first = (await service.http.get(address, params={"limit": 2})).json()
        rest = (await service.http.get(address, params={"after": first["next"]})).json()
    assert (len(first["results"]), first["next"]) == (2, 2)
    assert (len(rest["results"]), rest["next"]) == (1, None)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param({"kind": "poem", "items": ["a"]}, ["body"], id="unknown-kind"),
        pytest.param({"kind": "chat", "items": []}, ["body", "chat", "items"], id="no-items"),
        pytest.param(
            {"kind": "chat", "items": [{**QUESTIONS[0], "stream": True}]},
            ["body", "chat", "items", 0, "stream"],
            id="a-stream",
        ),
        pytest.param(
            {"kind": "chat", "items": [QUESTIONS[0], {"messages": []}]},
            ["body", "chat", "items", 1, "messages"],
            id="an-invalid-item",
        ),
        pytest.param(
            {"kind": "embeddings", "items": ["a", " "]},
            ["body", "embeddings", "items", 1],
            id="an-empty-text",
        ),
        pytest.param(
            {"kind": "embeddings", "items": ["a" + "\u0301" * 31]},
            ["body", "embeddings", "items", 0],
            id="too-many-marks",
        ),
        pytest.param(
            {"kind": "chat", "items": QUESTIONS, "color": "red"},
            ["body", "chat", "color"],
            id="an-unknown-field",
        ),
        pytest.param(
            {"kind": "chat", "items": [QUESTIONS[0], {**QUESTIONS[0], "provider": "other"}]},
            ["body", "chat", "items", 1, "provider"],
            id="a-provider-that-is-not-configured",
        ),
        pytest.param(
            {"kind": "embeddings", "mode": "batch", "items": ["a"]},
            ["body", "embeddings", "mode"],
            id="a-kind-without-batches",
        ),
        pytest.param(
            {"kind": "chat", "mode": "batch", "items": QUESTIONS},
            ["body", "chat", "mode"],
            id="a-provider-without-batches",
        ),
        pytest.param(
            {"kind": "chat", "mode": "cheap", "items": QUESTIONS},
            ["body", "chat", "mode"],
            id="an-unknown-mode",
        ),
    ],
)
async def test_a_bad_job_is_refused_as_a_whole_and_the_place_is_named(
    body: dict[str, Any], place: list[object]
) -> None:
    model = FakeChatModel("Hello.")
    async with opened(model) as service:
        response = await service.http.post("/v1/jobs", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == place
    assert model.requests == []


async def test_a_tool_call_without_its_result_is_refused_with_the_index_of_its_item() -> None:
    call = {"id": "c1", "name": "look", "arguments": "{}"}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "user", "content": "And?"},
    ]
    async with opened(FakeChatModel("Hello.")) as service:
        items = [QUESTIONS[0], {"messages": messages}]
        response = await service.http.post("/v1/jobs", json={"kind": "chat", "items": items})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"][:5] == ["body", "chat", "items", 1, "messages"]


async def test_a_job_has_at_most_the_configured_number_of_items() -> None:
    async with opened(FakeChatModel("Hello."), jobs={"max_items": 2}) as service:
        response = await service.http.post("/v1/jobs", json={"kind": "chat", "items": QUESTIONS})
    assert response.status_code == 422
    assert "2 items" in response.json()["detail"]


async def waiting() -> None:
    await asyncio.Event().wait()


async def test_a_client_has_at_most_the_configured_number_of_unfinished_jobs() -> None:
    async with opened(FakeChatModel([waiting]), jobs={"max_per_client": 1}) as service:
        await created(service, "chat", QUESTIONS)
        response = await service.http.post("/v1/jobs", json={"kind": "chat", "items": QUESTIONS})
    assert response.status_code == 429
    assert response.headers["Retry-After"]


async def test_a_cancelled_job_says_so_and_its_calls_end() -> None:
    with captured_logs() as logs:
        async with opened(FakeChatModel([waiting])) as service:
            address = await created(service, "chat", QUESTIONS)
            cancelled = await service.http.delete(address)
            assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
            again = await service.http.delete(address)
    assert again.json()["state"] == "cancelled"
    assert logs.events("job.cancelled")[0]["job"] == cancelled.json()["id"]


@pytest.mark.parametrize("way", ["GET", "DELETE"])
async def test_a_job_of_another_client_does_not_exist(way: str) -> None:
    acme, other = (f"Bearer {KEYS[name]}" for name in ("acme", "globex"))
    async with opened(FakeChatModel("Hello."), client={"keys": CLIENT_KEYS}) as service:
        address = await created(service, "chat", QUESTIONS, Authorization=acme)
        theirs = await service.http.request(way, address, headers={"Authorization": other})
        unknown = await service.http.request(way, UNKNOWN, headers={"Authorization": other})
        assert theirs.status_code == unknown.status_code == 404
        assert theirs.json()["detail"] == unknown.json()["detail"]
        assert (await at_the_end(service, address, Authorization=acme))["succeeded"] == 3


async def test_without_keys_a_job_of_another_tenant_does_not_exist() -> None:
    async with opened(FakeChatModel("Hello.")) as service:
        address = await created(service, "chat", QUESTIONS, **{"X-Tenant-ID": "one"})
        other = await service.http.get(address, headers={"X-Tenant-ID": "two"})
        own = await service.http.get(address, headers={"X-Tenant-ID": "one"})
    assert (other.status_code, own.status_code) == (404, 200)


async def test_a_wrong_method_of_a_job_is_refused_with_all_methods_that_are_allowed() -> None:
    async with opened(FakeChatModel("Hello.")) as service:
        response = await service.http.put(f"/v1/jobs/job_{'0' * 32}")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET")


async def test_an_id_that_no_job_can_have_is_refused() -> None:
    async with opened(FakeChatModel("Hello.")) as service:
        response = await service.http.get("/v1/jobs/job_{x}:y")
    assert response.status_code == 422


async def test_the_events_are_progress_and_then_the_end() -> None:
    async with opened(FakeChatModel("Hello.")) as service:
        address = await created(service, "chat", QUESTIONS)
        response = await service.http.get(f"{address}/events")
    events = events_of(response.text)
    names = [name for name, _ in events]
    assert names[-1] == "end"
    assert set(names[:-1]) <= {"progress"}
    assert orjson.loads(events[-1][1])["succeeded"] == 3


async def test_a_job_that_runs_in_the_process_says_so() -> None:
    with captured_logs() as logs:
        async with opened(FakeChatModel("Hello.")) as service:
            address = await created(service, "chat", QUESTIONS)
            job = await at_the_end(service, address)
    assert job["runs_in"] == "process"
    assert logs.events("jobs.in_process")


async def test_a_job_that_runs_has_a_next_page_even_if_there_is_nothing_on_it_yet() -> None:
    async with opened(FakeChatModel([waiting])) as service:
        address = await created(service, "chat", QUESTIONS)
        page = (await service.http.get(address)).json()
    assert (page["results"], page["next"]) == ([], 0)


async def test_a_client_sees_the_jobs_of_all_its_tenants() -> None:
    acme = f"Bearer {KEYS['acme']}"
    async with opened(FakeChatModel("Hello."), client={"keys": CLIENT_KEYS}) as service:
        headers = {"Authorization": acme, "X-Tenant-ID": "acme:7"}
        address = await created(service, "chat", QUESTIONS, **headers)
        own = await service.http.get(address, headers={"Authorization": acme})
    assert own.status_code == 200


async def test_an_event_is_sent_only_after_a_change() -> None:
    store = MemoryJobs(JobsPolicy())
    await store.add(spec(total=1), [[b"0"]])
    progress = await store.progress(spec().id)
    assert progress is not None
    following = frames(store, progress, poll_s=0)
    assert (await anext(following)).startswith(b"event: progress")
    second = asyncio.create_task(anext(following))
    await asyncio.sleep(0.05)
    assert not second.done()
    await store.store(spec().id, [Outcome(0, is_success=True, encoded=b"{}")])
    assert (await second).startswith(b"event: end")


async def test_a_process_that_stops_does_not_wait_for_its_jobs() -> None:
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(opened(FakeChatModel([waiting])))
        await created(service, "chat", QUESTIONS)
