"""The deadline that a caller, its gateway or its SDK sends with a request, from its header to the provider.

The time is simulated.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.llm.samples import OPENAI
from tests.resilience.virtual_time import now, run
from tests.running_service import QUESTION

GATEWAY = {
    "llm_providers": "gateway",
    "providers": {
        "gateway": {
            "api": "openai",
            "base_url": "http://gateway.test/v1",
            "api_key": "sk-gateway",
            "model": "a-model",
            "deadline_header": "x-litellm-timeout",
        }
    },
}


class Upstream:
    """A provider that answers after `takes_s`, with the next of `statuses` or 200."""

    def __init__(self, takes_s: float = 0.0, statuses: tuple[int, ...] = ()) -> None:
        self.takes_s = takes_s
        self.statuses = list(statuses)
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await asyncio.sleep(self.takes_s)
        if self.statuses:
            return httpx.Response(self.statuses.pop(0))
        if b'"stream":true' in request.content:
            events = {"Content-Type": "text/event-stream"}
            return httpx.Response(200, content=OPENAI.stream, headers=events)
        return httpx.Response(200, content=OPENAI.body)


class SlowStream(Upstream):
    """Sends an event each second."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        events = {"Content-Type": "text/event-stream"}
        return httpx.Response(200, content=self._events(), headers=events)

    async def _events(self) -> AsyncIterator[bytes]:
        for event in OPENAI.stream.split(b"\n\n"):
            yield event + b"\n\n"
            await asyncio.sleep(1)


@asynccontextmanager
async def service(upstream: Upstream, **values: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(**{**GATEWAY, "health_probe_interval_s": 0, **values})
    app = create_app(settings, transport=httpx.MockTransport(upstream))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", timeout=None
        ) as client,
    ):
        yield client


def answered(
    upstream: Upstream,
    headers: Mapping[str, str],
    *,
    path: str = "/v1/chat",
    body: Mapping[str, object] = QUESTION,
    **values: Any,
) -> tuple[httpx.Response, float]:
    """The answer of the service, and the simulated seconds that it took."""

    async def scenario() -> tuple[httpx.Response, float]:
        async with service(upstream, **values) as client:
            begun = now()
            answer = await client.post(path, json=body, headers=headers)
            return answer, now() - begun

    return run(scenario())


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Request-Timeout", "2.5"),
        ("x-envoy-expected-rq-timeout-ms", "2500"),
        ("x-stainless-read-timeout", "2.5"),
    ],
)
def test_a_call_ends_at_the_deadline_of_its_caller(header: str, value: str) -> None:
    answer, took_s = answered(Upstream(takes_s=30), {header: value})
    assert answer.status_code == 504
    assert took_s == pytest.approx(2.5, abs=0.1)
    assert answer.json()["detail"] == "No answer within the 2.5 s that the caller allows"


def test_the_openai_interface_honours_it_too() -> None:
    body = {"model": "auto", **QUESTION}
    answer, took_s = answered(
        Upstream(takes_s=30),
        {"X-Request-Timeout": "2"},
        path="/openai/v1/chat/completions",
        body=body,
    )
    assert answer.status_code == 504
    assert took_s == pytest.approx(2, abs=0.1)
    assert answer.json()["error"]["code"] == "timed_out"


def test_of_several_deadlines_the_earliest_counts() -> None:
    headers = {"X-Request-Timeout": "9", "x-stainless-read-timeout": "600"}
    headers["x-envoy-expected-rq-timeout-ms"] = "4000"
    _, took_s = answered(Upstream(takes_s=30), headers)
    assert took_s == pytest.approx(4, abs=0.1)


def test_a_late_deadline_does_not_extend_the_timeouts_of_the_service() -> None:
    one_attempt = {"max_attempts": 1}
    answer, took_s = answered(
        Upstream(takes_s=30), {"X-Request-Timeout": "900"}, retry=one_attempt, request_timeout_s=5
    )
    assert answer.status_code == 504
    assert took_s == pytest.approx(5, abs=0.1)


def test_an_answer_within_the_deadline_is_not_affected() -> None:
    answer, _ = answered(Upstream(takes_s=2), {"X-Request-Timeout": "3"})
    assert answer.status_code == 200


def test_a_stream_has_a_deadline_for_its_first_event() -> None:
    answer, took_s = answered(
        Upstream(takes_s=30), {"X-Request-Timeout": "2"}, body={**QUESTION, "stream": True}
    )
    assert answer.status_code == 504
    assert took_s == pytest.approx(2, abs=0.1)


def test_a_stream_that_has_begun_may_last_longer_than_the_deadline() -> None:
    answer, took_s = answered(
        SlowStream(), {"X-Request-Timeout": "2"}, body={**QUESTION, "stream": True}
    )
    assert answer.status_code == 200
    assert "event: done" in answer.text
    assert took_s > 2


@pytest.mark.parametrize(
    "value", ["", "0", "0.0", "-1", "soon", "1s", "nan", "inf", "1e3", "1_0", "1000000", "٣"]
)
def test_an_invalid_deadline_is_refused_and_named(value: str) -> None:
    upstream = Upstream()
    answer, _ = answered(upstream, {"X-Request-Timeout": value.encode()})  # type: ignore[dict-item]
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "X-Request-Timeout"]
    assert "X-Request-Timeout: must be a number of seconds" in answer.json()["detail"]
    assert upstream.requests == []


@pytest.mark.parametrize("header", ["x-envoy-expected-rq-timeout-ms", "x-stainless-read-timeout"])
@pytest.mark.parametrize("value", ["", "0", "-1", "soon", "nan"])
def test_an_invalid_deadline_of_another_program_is_ignored(header: str, value: str) -> None:
    answer, _ = answered(Upstream(takes_s=2), {header: value})
    assert answer.status_code == 200


def test_a_retry_that_would_begin_after_the_deadline_is_not_waited_for() -> None:
    retry = {"base_delay_s": 60, "max_delay_s": 300, "deadline_s": 3600}
    upstream = Upstream(statuses=(500, 500, 500, 500))
    answer, took_s = answered(upstream, {"X-Request-Timeout": "0.001"}, retry=retry)
    assert (answer.status_code, len(upstream.requests)) == (502, 1)
    assert took_s == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("header", "whole"),
    [
        ("x-litellm-timeout", "2.5"),
        ("x-request-timeout", "2.5"),
        ("x-envoy-upstream-rq-timeout-ms", "2500"),
    ],
)
def test_the_remaining_time_goes_to_the_provider(header: str, whole: str) -> None:
    upstream = Upstream()
    gateway = {**GATEWAY["providers"]["gateway"], "deadline_header": header}  # type: ignore[index]
    answered(upstream, {"X-Request-Timeout": "2.5"}, providers={"gateway": gateway})
    assert upstream.requests[0].headers[header] == whole


def test_an_attempt_gets_the_time_that_the_earlier_ones_have_left() -> None:
    upstream = Upstream(takes_s=1, statuses=(500,))
    retry = {"base_delay_s": 0.001, "max_delay_s": 0.001}
    answered(upstream, {"X-Request-Timeout": "5"}, retry=retry)
    passed_on = [float(request.headers["x-litellm-timeout"]) for request in upstream.requests]
    assert passed_on == [5, pytest.approx(4, abs=0.1)]


def test_without_a_deadline_the_provider_gets_the_timeout_of_the_service() -> None:
    upstream = Upstream()
    answered(upstream, {}, request_timeout_s=7)
    assert upstream.requests[0].headers["x-litellm-timeout"] == "7"


def test_a_stream_is_not_limited_by_the_gateway() -> None:
    upstream = Upstream()
    answered(upstream, {"X-Request-Timeout": "2"}, body={**QUESTION, "stream": True})
    assert "x-litellm-timeout" not in upstream.requests[0].headers


def test_a_vendor_gets_no_deadline_unless_a_fact_names_its_header() -> None:
    upstream = Upstream()
    answered(upstream, {"X-Request-Timeout": "2"}, llm_providers="openai", providers={})
    assert "timeout" not in str(upstream.requests[0].headers)


def test_identical_requests_with_different_deadlines_are_separate_calls() -> None:
    assert statuses_of_two("1", "60") == ([504, 200], 2)


def test_identical_requests_that_allow_the_same_time_share_a_call() -> None:
    assert statuses_of_two("60", "60") == ([200, 200], 1)


def statuses_of_two(*allowed: str) -> tuple[list[int], int]:
    upstream = Upstream(takes_s=5)

    async def scenario() -> list[int]:
        async with service(upstream) as client:
            headers = [{"X-Request-Timeout": seconds} for seconds in allowed]
            asked = [client.post("/v1/chat", json=QUESTION, headers=each) for each in headers]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    return run(scenario()), len(upstream.requests)


def test_a_provider_that_is_too_slow_for_one_caller_stays_in_use() -> None:
    """A deadline of one second says nothing about the health of a model that takes five."""
    upstream = Upstream(takes_s=5)

    async def scenario() -> int:
        async with service(upstream, breaker={"failures": 2}) as client:
            for number in range(4):
                question = {"messages": [{"role": "user", "content": f"Question {number}"}]}
                await client.post("/v1/chat", json=question, headers={"X-Request-Timeout": "1"})
            return (await client.post("/v1/chat", json=QUESTION)).status_code

    assert run(scenario()) == 200
