"""A real LiteLLM proxy with the service's `/openai/v1` as its provider."""

import httpx2
import pytest

from tests.gateways.conftest import KEY, STRICT_LIMIT, Gateway
from tests.running_service import QUESTION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def post(gateway: Gateway, path: str, body: object, **headers: str) -> httpx2.Response:
    return httpx2.post(
        f"{gateway.litellm}/v1{path}",
        json=body,
        headers={"Authorization": f"Bearer {KEY}", **headers},
        trust_env=False,
        timeout=120,
    )


def ask_strict(gateway: Gateway, model: str) -> tuple[httpx2.Response, int]:
    """The answer when the service is the owner of retries, and how many questions arrived there."""
    before = gateway.asked_of_strict()
    body = {"model": model, **QUESTION}
    answer = post(gateway, "/chat/completions", body, **{"x-litellm-num-retries": "0"})
    return answer, gateway.asked_of_strict() - before


def ask(gateway: Gateway, **more: object) -> httpx2.Response:
    return post(gateway, "/chat/completions", {"model": "service", **QUESTION, **more})


def test_a_chat_answer_comes_from_the_service_with_usage_and_cost(gateway: Gateway) -> None:
    answer = ask(gateway)
    message = answer.json()["choices"][0]["message"]
    assert message["content"] == 'This is the mock API. You said: "Hi"'
    assert answer.json()["usage"]["total_tokens"] == 13
    assert float(answer.headers["x-litellm-response-cost"]) > 0


def test_a_stream_arrives_in_pieces(gateway: Gateway) -> None:
    text = ask(gateway, stream=True).text
    assert text.count('"content"') > 1
    assert text.rstrip().endswith("data: [DONE]")


def test_tools_are_called(gateway: Gateway) -> None:
    choice = ask(gateway, tools=[TOOL], tool_choice="required").json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


def test_embeddings_are_one_for_each_text(gateway: Gateway) -> None:
    body = {"model": "embeddings-of-service", "input": ["one", "two"]}
    answer = post(gateway, "/embeddings", body)
    assert [item["index"] for item in answer.json()["data"]] == [0, 1]


def test_the_request_id_passes_through_both(gateway: Gateway) -> None:
    post(
        gateway,
        "/chat/completions",
        {"model": "service", **QUESTION},
        **{"X-Request-ID": "order-8"},
    )
    assert gateway.requests()[0]["headers"]["x-request-id"] == "order-8"


def test_the_timeout_of_litellm_is_the_deadline_of_the_service(gateway: Gateway) -> None:
    gateway.fault(latency_ms=60_000)
    answer = post(
        gateway,
        "/chat/completions",
        {"model": "service", **QUESTION},
        **{"x-litellm-timeout": "3", "x-litellm-num-retries": "0"},
    )
    assert answer.status_code in {408, 504}


def test_litellm_alone_repeats_a_failed_call(gateway: Gateway) -> None:
    gateway.fault(status=500)
    assert ask(gateway).status_code >= 500
    assert len(gateway.requests()) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"temperature": 9}, 400, id="an invalid field"),
        pytest.param({"messages": []}, 400, id="no message"),
    ],
)
def test_a_mistake_of_the_caller_stays_one(
    gateway: Gateway, body: dict[str, object], status: int
) -> None:
    assert ask(gateway, **body).status_code == status
    assert gateway.requests() == []


def test_a_limit_of_the_service_is_a_429_with_its_retry_after(gateway: Gateway) -> None:
    """Nothing repeats the call that the service refuses. LiteLLM renames the headers of its providers."""
    for _ in range(STRICT_LIMIT):
        ask_strict(gateway, "strict")
    before = len(gateway.requests())
    answer, asked = ask_strict(gateway, "strict")
    assert (answer.status_code, asked, len(gateway.requests()) - before) == (429, 1, 0)
    assert 0 < int(answer.headers["llm_provider-retry-after"]) <= 60


def test_a_key_that_the_service_does_not_know_is_a_401(gateway: Gateway) -> None:
    answer, asked = ask_strict(gateway, "strict-with-a-wrong-key")
    assert (answer.status_code, asked, gateway.requests()) == (401, 1, [])


def test_a_prompt_that_is_too_long_is_the_callers_mistake(gateway: Gateway) -> None:
    answer, asked = ask_strict(gateway, "short-of-strict")
    assert (answer.status_code, asked) == (400, 1)
    assert "context" in answer.json()["error"]["message"].lower()


@pytest.mark.parametrize("model", ["strict-with-a-wrong-key", "short-of-strict"])
def test_litellm_does_not_repeat_a_mistake_when_it_owns_retries(
    gateway: Gateway, model: str
) -> None:
    before = gateway.asked_of_strict()
    assert ask(gateway, model=model).status_code in {400, 401}
    assert gateway.asked_of_strict() - before == 1
