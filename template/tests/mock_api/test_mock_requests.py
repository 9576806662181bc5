"""The record of what was received."""

from typing import TYPE_CHECKING

import httpx2
import pytest

from mock_api.recorder import Recorder, mask

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


async def test_a_request_is_recorded_with_its_answer(
    control: httpx2.Client, openai: "AsyncOpenAI"
) -> None:
    await openai.embeddings.create(model="m", input="Hi", encoding_format="float")
    (entry,) = control.get("/requests").json()
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/embeddings", 200)
    assert entry["body"] == {"model": "m", "input": "Hi", "encoding_format": "float"}
    assert entry["headers"]["authorization"] == "***1234"


async def test_keys_are_nowhere_in_the_listing(api: httpx2.AsyncClient) -> None:
    await api.post("/v1/messages", json=ASKED)
    listing = (await api.get("/_mock/requests")).text
    assert "anything" not in listing
    assert '"x-api-key":"***1234"' in listing


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        pytest.param("Bearer sk-1234567890", "***7890", id="long"),
        pytest.param("Bearer 123456789", "***6789", id="nine characters"),
        pytest.param("Bearer 12345678", "***", id="eight characters"),
        pytest.param("x", "***", id="short"),
        pytest.param("", "***", id="empty"),
    ],
)
def test_a_secret_shows_its_last_four_characters_at_most(secret: str, shown: str) -> None:
    assert mask(secret) == shown


async def test_refused_requests_are_recorded_too(api: httpx2.AsyncClient) -> None:
    await api.post("/v1/nothing", content=b"not JSON")
    (entry,) = (await api.get("/_mock/requests")).json()
    assert (entry["path"], entry["body"], entry["status"]) == ("/v1/nothing", "not JSON", 404)


async def test_the_listing_is_filtered_by_path_and_limited(api: httpx2.AsyncClient) -> None:
    for path in ("/v1/models", "/v1/models/a", "/v1/other", "/v1/models/b"):
        await api.get(path)
    listing = (await api.get("/_mock/requests?path=/v1/models&limit=2")).json()
    assert [entry["path"] for entry in listing] == ["/v1/models/a", "/v1/models/b"]
    assert [entry["seq"] for entry in listing] == [2, 4]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "²"])
async def test_a_bad_limit_is_refused(api: httpx2.AsyncClient, limit: str) -> None:
    answer = await api.get("/_mock/requests", params={"limit": limit})
    assert answer.status_code == 422


async def test_the_record_can_be_cleared(api: httpx2.AsyncClient) -> None:
    await api.get("/v1/models")
    await api.delete("/_mock/requests")
    assert (await api.get("/_mock/requests")).json() == []


async def test_probes_and_control_are_not_recorded_and_never_fail(api: httpx2.AsyncClient) -> None:
    await api.put("/_mock/faults", json={"status": 500})
    assert (await api.get("/healthz")).status_code == 200
    assert (await api.get("/_mock/nothing")).status_code == 404
    assert (await api.get("/_mock/requests")).json() == []


def test_the_record_keeps_the_last_thousand() -> None:
    recorder = Recorder()
    for _ in range(1005):
        recorder.add("GET", "/", [], b"")
    assert [entry["seq"] for entry in recorder.listed()] == list(range(6, 1006))


def test_the_record_keeps_64_megabytes_of_bodies() -> None:
    recorder = Recorder()
    for _ in range(10):
        recorder.add("POST", "/", [], bytes(10 * 2**20))
    assert [entry["seq"] for entry in recorder.listed()] == [5, 6, 7, 8, 9, 10]


async def test_two_apps_share_nothing(api: httpx2.AsyncClient, control: httpx2.Client) -> None:
    await api.get("/v1/models")
    assert control.get("/requests").json() == []
