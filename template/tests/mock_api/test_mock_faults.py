"""Every fault, as each SDK experiences it."""

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests import sdk

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI


CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


async def ask_openai(openai: "AsyncOpenAI") -> str:
    answer = await openai.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
    )
    return answer.choices[0].message.content or ""


async def ask_anthropic(anthropic: "AsyncAnthropic") -> None:
    await anthropic.messages.create(
        model="claude", max_tokens=99, messages=[{"role": "user", "content": "Hi"}]
    )


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
