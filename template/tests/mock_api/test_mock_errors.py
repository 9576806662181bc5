"""What is refused, and that each SDK recognises its provider's way to say so."""

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests import sdk

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

TEXT_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}
USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        pytest.param({"messages": []}, "messages", id="no messages"),
        pytest.param({"messages": None}, "messages", id="null messages"),
        pytest.param({"messages": [{"content": "x"}]}, "messages[0].role", id="no role"),
        pytest.param({"messages": [USER | {"role": "boss"}]}, "messages[0].role", id="bad role"),
        pytest.param({"messages": [{"role": "user"}]}, "messages[0]", id="no content"),
        pytest.param(
            {"messages": [USER | {"content": 5}]}, "messages[0].content", id="content type"
        ),
        pytest.param({"messages": [USER | {"role": "tool"}]}, "messages[0]", id="tool without id"),
        pytest.param({"temperature": 2.5}, "temperature", id="temperature too high"),
        pytest.param({"temperature": "1"}, "temperature", id="temperature as text"),
        pytest.param({"max_tokens": 0}, "max_tokens", id="no tokens"),
        pytest.param({"n": 2}, "n", id="two answers"),
        pytest.param({"tools": [TEXT_TOOL]}, "tools", id="a tool that takes no object"),
        pytest.param({"stream": "yes"}, "stream", id="stream as text"),
        pytest.param({"tool_choice": {"type": "function"}}, None, id="choice without tools"),
        pytest.param({"stream_options": {}}, None, id="stream options without a stream"),
        pytest.param({"response_format": {"type": "xml"}}, "response_format.type", id="format"),
        pytest.param(
            {"response_format": {"type": "json_schema"}}, "response_format", id="no schema"
        ),
    ],
)
async def test_openai_names_the_bad_parameter(
    openai: "AsyncOpenAI", change: dict[str, object], param: str | None
) -> None:
    with pytest.raises(sdk.openai.BadRequestError) as refused:
        await openai.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], extra_body=change
        )
    assert refused.value.type == "invalid_request_error"
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"messages": []}, "messages", id="no messages"),
        pytest.param({"messages": [USER | {"role": "tool"}]}, "messages.0.role", id="bad role"),
        pytest.param({"messages": [USER | {"content": ""}]}, "messages.0.content.0", id="empty"),
        pytest.param({"max_tokens": None}, "max_tokens", id="null max_tokens"),
        pytest.param({"temperature": 1.5}, "temperature", id="temperature too high"),
        pytest.param({"tool_choice": {"type": "any"}}, "tool_choice", id="choice without tools"),
    ],
)
async def test_anthropic_names_the_bad_field(
    anthropic: "AsyncAnthropic", change: dict[str, object], field: str
) -> None:
    with pytest.raises(sdk.anthropic.BadRequestError, match=field) as refused:
        await anthropic.messages.create(
            model="claude",
            max_tokens=9,
            messages=[{"role": "user", "content": "Hi"}],
            extra_body=change,
        )
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id


async def test_anthropic_requires_max_tokens(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/messages", json={"model": "claude", "messages": [USER]})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "type": "invalid_request_error",
        "message": "max_tokens: Field required",
    }


@pytest.mark.parametrize("key", ["invalid", "invalid-key"])
async def test_a_bad_key_is_refused(
    openai: "AsyncOpenAI", anthropic: "AsyncAnthropic", key: str
) -> None:
    with pytest.raises(sdk.openai.AuthenticationError) as refused:
        await openai.with_options(api_key=key).models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(sdk.anthropic.AuthenticationError) as also_refused:
        await anthropic.with_options(api_key=key).messages.create(
            model="claude", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        )
    assert also_refused.value.type == "authentication_error"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc"])
async def test_openai_needs_a_bearer_key(api: httpx2.AsyncClient, header: str) -> None:
    answer = await api.get("/v1/models/gpt-4o", headers={"authorization": header})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("missing", "status", "kind"),
    [
        ("x-api-key", 401, "authentication_error"),
        ("anthropic-version", 400, "invalid_request_error"),
    ],
)
async def test_anthropic_needs_its_headers(
    api: httpx2.AsyncClient, missing: str, status: int, kind: str
) -> None:
    del api.headers["authorization"], api.headers[missing]
    asked = {"model": "claude", "max_tokens": 9, "messages": [USER]}
    answer = await api.post("/v1/messages", json=asked)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == kind


async def test_anthropic_takes_a_bearer_key(api: httpx2.AsyncClient) -> None:
    del api.headers["x-api-key"]
    asked = {"model": "claude", "max_tokens": 9, "messages": [USER]}
    assert (await api.post("/v1/messages", json=asked)).status_code == 200


async def test_a_missing_model_is_not_found(
    openai: "AsyncOpenAI", anthropic: "AsyncAnthropic"
) -> None:
    with pytest.raises(sdk.openai.NotFoundError) as missing:
        await openai.models.retrieve("missing-model")
    assert missing.value.code == "model_not_found"
    with pytest.raises(sdk.openai.NotFoundError):
        await openai.embeddings.create(model="missing-model", input="x")
    with pytest.raises(sdk.anthropic.NotFoundError) as also_missing:
        await anthropic.messages.create(
            model="missing-model", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
        )
    assert also_missing.value.type == "not_found_error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("POST", "/v1/nothing", 404, id="unknown path"),
        pytest.param("GET", "/v1/chat/completions", 405, id="wrong method"),
        pytest.param("POST", "/v1/chat/completions/", 404, id="trailing slash"),
    ],
)
async def test_unknown_routes_answer_in_openais_words(
    api: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    del api.headers["anthropic-version"]
    answer = await api.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"].startswith("req_")


async def test_a_wrong_method_answers_in_anthropics_words(api: httpx2.AsyncClient) -> None:
    answer = await api.get("/v1/messages")
    assert answer.status_code == 405
    assert answer.json()["type"] == "error"
    assert answer.json()["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/messages"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"temperature": NaN}', id="not a number"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'{"tools":' + b"[" * 900 + b"]" * 900 + b"}", id="deep"),
    ],
)
async def test_a_body_that_is_no_request_is_refused(
    api: httpx2.AsyncClient, path: str, body: bytes
) -> None:
    answer = await api.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_body_above_ten_megabytes_is_refused(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.post(path, content=b" " * (10 * 2**20 + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] in {"invalid_request_error", "request_too_large"}
    assert (await http.get("/healthz")).json() == {"status": "ok"}
