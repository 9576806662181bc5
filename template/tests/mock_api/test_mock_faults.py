"""Every fault, as each SDK experiences it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx2
import orjson
import pytest
from starlette.types import ASGIApp, Message

from mock_api.application import create_app
from mock_api.testing import running_server
from tests import sdk

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
OPENAI_STREAM = (CHAT, ASKED | {"stream": True})
ANTHROPIC_STREAM = ("/v1/messages", ASKED | {"stream": True, "max_tokens": 100})
STREAMS = pytest.mark.parametrize(
    ("path", "asked"), [OPENAI_STREAM, ANTHROPIC_STREAM], ids=["openai", "anthropic"]
)


async def ask_openai(openai: "AsyncOpenAI") -> str:
    answer = await openai.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
    )
    return answer.choices[0].message.content or ""


async def ask_anthropic(anthropic: "AsyncAnthropic") -> None:
    await anthropic.messages.create(
        model="claude", max_tokens=99, messages=[{"role": "user", "content": "Hi"}]
    )


async def said_by_openai(openai: "AsyncOpenAI") -> AsyncIterator[str]:
    stream = await openai.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


async def said_by_anthropic(anthropic: "AsyncAnthropic") -> AsyncIterator[str]:
    async with anthropic.messages.stream(
        model="claude", max_tokens=99, messages=[{"role": "user", "content": "Hi"}]
    ) as stream:
        async for piece in stream.text_stream:
            yield piece


async def keep(pieces: AsyncIterator[str], received: list[str]) -> None:
    async for piece in pieces:
        received.append(piece)  # noqa: PERF401 - extend would lose what came before an error


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
        (529, "InternalServerError"),
    ],
)
async def test_openai_raises_the_error_of_the_status(
    control: httpx2.Client,
    openai: "AsyncOpenAI",
    status: int,
    error: str,
) -> None:
    control.put("/faults", json={"status": status})
    with pytest.raises(sdk.openai.APIStatusError) as raised:
        await ask_openai(openai)
    assert type(raised.value).__name__ == error
    assert raised.value.status_code == status
    assert raised.value.type


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "BadRequestError", "invalid_request_error"),
        (401, "AuthenticationError", "authentication_error"),
        (403, "PermissionDeniedError", "permission_error"),
        (404, "NotFoundError", "not_found_error"),
        (429, "RateLimitError", "rate_limit_error"),
        (500, "InternalServerError", "api_error"),
        (504, "GatewayTimeoutError", "timeout_error"),
        (529, "OverloadedError", "overloaded_error"),
    ],
)
async def test_anthropic_raises_the_error_of_the_status(
    control: httpx2.Client,
    anthropic: "AsyncAnthropic",
    status: int,
    error: str,
    kind: str,
) -> None:
    control.put("/faults", json={"status": status})
    with pytest.raises(sdk.anthropic.APIStatusError) as raised:
        await ask_anthropic(anthropic)
    assert type(raised.value).__name__ == error
    assert (raised.value.status_code, raised.value.type) == (status, kind)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param(7, "7", id="seconds"),
        pytest.param(0.5, "0.5", id="half a second"),
        pytest.param("Fri, 31 Dec 2027 23:59:59 GMT", "Fri, 31 Dec 2027 23:59:59 GMT", id="date"),
        pytest.param("soon", "soon", id="nonsense"),
    ],
)
async def test_retry_after_is_sent_verbatim_and_implies_429(
    control: httpx2.Client, openai: "AsyncOpenAI", given: object, sent: str
) -> None:
    control.put("/faults", json={"retry_after": given})
    with pytest.raises(sdk.openai.RateLimitError) as raised:
        await ask_openai(openai)
    assert raised.value.response.headers["retry-after"] == sent


async def test_a_fault_is_gone_after_its_times(
    control: httpx2.Client, openai: "AsyncOpenAI"
) -> None:
    control.put("/faults", json={"status": 500, "retry_after": 0.01, "times": 2})
    assert await ask_openai(openai.with_options(max_retries=2))
    assert control.get("/faults").json() == []
    assert [entry["status"] for entry in control.get("/requests").json()] == [500, 500, 200]


async def test_faults_of_a_list_follow_each_other(api: httpx2.AsyncClient) -> None:
    await api.put("/_mock/faults", json=[{"status": 500, "times": 2}, {"status": 429, "times": 1}])
    answers = [(await api.post(CHAT, json=ASKED)).status_code for _ in range(4)]
    assert answers == [500, 500, 429, 200]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        pytest.param(0, "........", id="never"),
        pytest.param(0.25, "...x...x", id="a quarter"),
        pytest.param(0.5, ".x.x.x.x", id="half"),
        pytest.param(1, "xxxxxxxx", id="always"),
    ],
)
async def test_a_rate_is_evenly_spaced(api: httpx2.AsyncClient, rate: float, expected: str) -> None:
    await api.put("/_mock/faults", json={"status": 500, "rate": rate})
    answers = [await api.post(CHAT, json=ASKED) for _ in expected]
    assert "".join("x" if answer.is_error else "." for answer in answers) == expected


async def test_a_rate_that_floats_cannot_hold_is_exact(api: httpx2.AsyncClient) -> None:
    await api.put("/_mock/faults", json={"status": 500, "rate": 0.29})
    for _ in range(100):
        await api.get("/v1/models")
    assert (await api.get("/_mock/faults")).json()[0]["applied"] == 29


async def test_a_path_limits_a_fault(api: httpx2.AsyncClient) -> None:
    await api.put("/_mock/faults", json={"status": 500, "path": "/v1/chat"})
    assert (await api.post(CHAT, json=ASKED)).status_code == 500
    assert (await api.get("/v1/models")).status_code == 200


async def test_the_listing_counts_what_was_seen_and_applied(api: httpx2.AsyncClient) -> None:
    await api.put("/_mock/faults", json={"status": 500, "rate": 0.5, "times": 9})
    for _ in range(4):
        await api.get("/v1/models")
    assert (await api.get("/_mock/faults")).json() == [
        {
            "fault": {"status": 500, "rate": 0.5, "times": 9},
            "seen": 4,
            "applied": 2,
            "remaining": 7,
        }
    ]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param({"statsu": 500}, "statsu", id="unknown field"),
        pytest.param({"status": 200}, "status", id="no error status"),
        pytest.param({"status": "500"}, "status", id="status as text"),
        pytest.param({"rate": 1.5}, "rate", id="rate above one"),
        pytest.param({"times": 0}, "times", id="zero times"),
        pytest.param({"latency_ms": -1}, "latency_ms", id="negative latency"),
        pytest.param({"tokens_per_second": 0}, "tokens_per_second", id="no speed"),
        pytest.param({"drop_after_chunks": -1}, "drop_after_chunks", id="negative chunks"),
        pytest.param({"retry_after": "a\r\nb: c"}, "retry_after", id="a split header"),
        pytest.param({"retry_after": -1}, "retry_after", id="the past"),
        pytest.param({"path": "v1"}, "path", id="no path"),
        pytest.param([{}, {"rate": -1}], "1.rate", id="second of a list"),
        pytest.param("status", "", id="no object"),
    ],
)
async def test_a_bad_fault_is_refused_by_name_and_changes_nothing(
    api: httpx2.AsyncClient, given: object, field: str
) -> None:
    await api.put("/_mock/faults", json={"status": 503})
    answer = await api.put("/_mock/faults", json=given)
    assert answer.status_code == 422
    assert list(answer.json()["error"]["fields"]) == [field]
    assert (await api.get("/_mock/faults")).json()[0]["fault"] == {"status": 503}


async def test_a_fault_that_is_not_json_is_refused(api: httpx2.AsyncClient) -> None:
    assert (await api.put("/_mock/faults", content=b"{")).status_code == 422


async def test_latency_delays_the_answer(control: httpx2.Client, openai: "AsyncOpenAI") -> None:
    control.put("/faults", json={"latency_ms": 200})
    began = time.monotonic()
    await ask_openai(openai)
    assert 0.2 <= time.monotonic() - began < 10


async def test_a_stream_is_paced(control: httpx2.Client, openai: "AsyncOpenAI") -> None:
    control.put("/faults", json={"tokens_per_second": 50})
    began = time.monotonic()
    arrivals = [time.monotonic() - began async for _ in said_by_openai(openai)]
    assert arrivals[-1] >= len(arrivals) / 50
    assert arrivals[0] < arrivals[-1] / 2


@pytest.mark.parametrize("chunks", [1, 3, 12], ids=["one", "three", "all but the end"])
async def test_a_dropped_stream_delivers_n_chunks_and_breaks(
    control: httpx2.Client, openai: "AsyncOpenAI", anthropic: "AsyncAnthropic", chunks: int
) -> None:
    control.put("/faults", json={"drop_after_chunks": chunks})
    received: list[str] = []
    with pytest.raises(sdk.openai.APIConnectionError):
        await keep(said_by_openai(openai), received)
    assert len(received) == chunks
    with pytest.raises((httpx2.RemoteProtocolError, sdk.anthropic.APIConnectionError)):
        await keep(said_by_anthropic(anthropic), received)
    assert len(received) == 2 * chunks


@STREAMS
async def test_a_drop_beyond_the_end_changes_nothing(
    control: httpx2.Client, http: httpx2.AsyncClient, path: str, asked: dict[str, object]
) -> None:
    control.put("/faults", json={"drop_after_chunks": 1000})
    answer = await http.post(path, json=asked)
    assert answer.text.rstrip().endswith(("[DONE]", '{"type":"message_stop"}'))


async def test_a_whole_answer_is_dropped_halfway(
    control: httpx2.Client, openai: "AsyncOpenAI"
) -> None:
    control.put("/faults", json={"drop_after_chunks": 1})
    with pytest.raises(sdk.openai.APIConnectionError):
        await ask_openai(openai)


async def test_drops_are_silent_in_the_log(
    control: httpx2.Client, openai: "AsyncOpenAI", caplog: pytest.LogCaptureFixture
) -> None:
    control.put("/faults", json={"drop_after_chunks": 1})
    with running_server():
        pass  # another server that has come and gone takes nothing with it
    with pytest.raises(sdk.openai.APIConnectionError):
        await ask_openai(openai)
    assert [record for record in caplog.records if record.name == "uvicorn.error"] == []


async def test_a_stalled_stream_times_out_and_is_given_up(
    control: httpx2.Client, openai: "AsyncOpenAI"
) -> None:
    control.put("/faults", json={"stall_after_chunks": 2})
    received: list[str] = []
    with pytest.raises(sdk.openai.APITimeoutError):
        await keep(said_by_openai(openai.with_options(timeout=0.3)), received)
    assert received == ["This", " is"]


async def test_a_stalled_whole_answer_never_comes(
    control: httpx2.Client, openai: "AsyncOpenAI", anthropic: "AsyncAnthropic"
) -> None:
    control.put("/faults", json={"stall_after_chunks": 0})
    with pytest.raises(sdk.openai.APITimeoutError):
        await ask_openai(openai.with_options(timeout=0.2))
    with pytest.raises(sdk.anthropic.APITimeoutError):
        await ask_anthropic(anthropic.with_options(timeout=0.2))


async def test_a_malformed_answer_is_cut_json(
    control: httpx2.Client, http: httpx2.AsyncClient
) -> None:
    control.put("/faults", json={"malformed": True})
    answer = await http.post(CHAT, json=ASKED)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


@STREAMS
async def test_a_malformed_stream_breaks_the_second_chunk(
    api: httpx2.AsyncClient, path: str, asked: dict[str, object]
) -> None:
    good = (await api.post(path, json=asked)).text.split("\n\n")
    await api.put("/_mock/faults", json={"malformed": True})
    bad = (await api.post(path, json=asked)).text.split("\n\n")
    differing = [(a, b) for a, b in zip(good, bad, strict=True) if a != b]
    assert len(differing) == 1
    assert '" is"' in differing[0][0]
    assert differing[0][1] == differing[0][0][:-2]


@pytest.mark.parametrize(
    "fault",
    [{"stall_after_chunks": 1}, {"latency_ms": 60_000}, {"tokens_per_second": 0.01}],
    ids=["stalled", "late", "slow"],
)
@STREAMS
async def test_a_client_that_leaves_ends_the_wait(
    fault: dict[str, object], path: str, asked: dict[str, object]
) -> None:
    app = create_app()
    await hang_up(app, "PUT", "/_mock/faults", fault, after_s=0)
    async with asyncio.timeout(2):
        await hang_up(app, "POST", path, asked, after_s=0.05)


async def hang_up(app: ASGIApp, method: str, path: str, body: object, after_s: float) -> None:
    """One request with a client that disconnects: returns when the app is done."""
    events: list[Message] = [{"type": "http.request", "body": orjson.dumps(body)}]

    async def receive() -> Message:
        if not events:
            await asyncio.sleep(after_s)
        return events.pop() if events else {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    headers = [(b"authorization", b"Bearer sk"), (b"anthropic-version", b"2023-06-01")]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": headers,
        "query_string": b"",
    }
    await app(scope, receive, send)
