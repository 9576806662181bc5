"""Only requests with exactly one valid client key are served."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from app.testing import CapturedLogs, FakeChatModel
from tests.client_keys import CLIENT_KEYS, KEYS, bearer, entry
from tests.running_service import QUESTION, RunningService, opened

KEY = KEYS["acme"]
OTHER = KEYS["globex"]
EXPIRED = "ck_expired-0123456789"
ENTRIES = f"{CLIENT_KEYS},{entry('acme', EXPIRED, '2020-01-31')}"
Headers = list[tuple[bytes, bytes]]


@pytest.fixture
async def service(model: FakeChatModel) -> AsyncIterator[RunningService]:
    async with opened(model, client={"keys": ENTRIES}) as started:
        yield started


def header(name: str, value: bytes) -> Headers:
    return [(name.encode(), value)]


HOSTILE: dict[str, Headers] = {
    "no key": [],
    "an empty header": header("Authorization", b""),
    "a scheme alone": header("Authorization", b"Bearer"),
    "a scheme and a space": header("Authorization", b"Bearer "),
    "a key without a scheme": header("Authorization", KEY.encode()),
    "basic": header("Authorization", b"Basic YWNtZTprZXk="),
    "digest": header("Authorization", b'Digest username="acme"'),
    "a scheme with more letters": header("Authorization", b"Bearers " + KEY.encode()),
    "a colon after the scheme": header("Authorization", b"Bearer: " + KEY.encode()),
    "no space after the scheme": header("Authorization", b"Bearer" + KEY.encode()),
    "the scheme twice": header("Authorization", b"Bearer Bearer " + KEY.encode()),
    "quotes": header("Authorization", b'Bearer "' + KEY.encode() + b'"'),
    "an unknown key": header("Authorization", b"Bearer ck_unknown"),
    "a prefix": header("Authorization", b"Bearer " + KEY[:-1].encode()),
    "a suffix": header("Authorization", b"Bearer " + KEY[1:].encode()),
    "one character more": header("Authorization", b"Bearer " + KEY.encode() + b"0"),
    "another case": header("Authorization", b"Bearer " + KEY.upper().encode()),
    "a null byte": header("Authorization", b"Bearer " + KEY.encode() + b"\0"),
    "a comma and more": header("Authorization", b"Bearer " + KEY.encode() + b", x"),
    "two keys in one header": header("Authorization", f"Bearer {KEY} {KEY}".encode()),
    "the hash instead of the key": header("Authorization", f"Bearer {entry('acme')[5:]}".encode()),
    "the entry instead of the key": header("Authorization", f"Bearer {entry('acme')}".encode()),
    "the name instead of the key": header("Authorization", b"Bearer acme"),
    "expired": header("Authorization", b"Bearer " + EXPIRED.encode()),
    "huge": header("Authorization", b"Bearer " + b"k" * 8_000),
    "the key and a huge tail": header("Authorization", b"Bearer " + KEY.encode() + b"k" * 8_000),
    "non-ASCII": header("Authorization", "Bearer ключ".encode()),
    "half of UTF-8": header("Authorization", b"Bearer \xd0"),
    "Latin 1": header("Authorization", b"Bearer \xe4\xf6\xfc"),
    "two equal headers": header("Authorization", f"Bearer {KEY}".encode()) * 2,
    "two headers of two clients": [
        *header("Authorization", f"Bearer {KEY}".encode()),
        *header("Authorization", f"Bearer {OTHER}".encode()),
    ],
    "an empty X-API-Key": header("X-API-Key", b""),
    "an unknown X-API-Key": header("X-API-Key", b"ck_unknown"),
    "an X-API-Key with a scheme": header("X-API-Key", f"Bearer {KEY}".encode()),
    "a non-ASCII X-API-Key": header("X-API-Key", "ключ".encode()),
    "two X-API-Keys": header("X-API-Key", KEY.encode()) * 2,
    "two clients in two headers": [
        *header("Authorization", f"Bearer {KEY}".encode()),
        *header("X-API-Key", OTHER.encode()),
    ],
    "a good and an empty header": [
        *header("X-API-Key", KEY.encode()),
        *header("Authorization", b"Bearer "),
    ],
    "a good key and basic": [
        *header("X-API-Key", KEY.encode()),
        *header("Authorization", b"Basic YWNtZTprZXk="),
    ],
    "a cookie": header("Cookie", f"key={KEY}".encode()),
    "a proxy's header": header("Proxy-Authorization", f"Bearer {KEY}".encode()),
    "another product's header": header("api-key", KEY.encode()),
}


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
async def test_a_request_without_one_valid_key_is_a_401(
    service: RunningService, model: FakeChatModel, logs: CapturedLogs, headers: Headers
) -> None:
    answer = await service.http.post("/v1/chat", json=QUESTION, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:problem:unauthorized"
    assert model.requests == []
    for secret in (KEY, OTHER, EXPIRED, entry("acme")[5:]):
        assert secret not in answer.text + logs.text


async def test_all_invalid_keys_get_the_same_answer(service: RunningService) -> None:
    keys = ["ck_unknown", EXPIRED, KEY[:-1], "k" * 8_000]
    answers = [await service.http.post("/v1/chat", headers=bearer(key)) for key in keys]
    assert len({answer.json()["detail"] for answer in answers}) == 1


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/nothing", "/v1", "/metrics/", "//healthz"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PROPFIND"])
async def test_every_path_and_method_needs_a_key(
    service: RunningService, method: str, path: str
) -> None:
    answer = await service.http.request(method, f"http://service{path}")
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_needs_no_key(service: RunningService, path: str) -> None:
    assert (await service.http.get(path)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": f"Bearer {KEY}"}, id="bearer"),
        pytest.param({"authorization": f"bearer   {KEY} "}, id="another-spelling"),
        pytest.param({"X-API-Key": KEY}, id="api-key"),
        pytest.param({"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"}, id="the-same-twice"),
    ],
)
async def test_a_valid_key_names_the_client_in_the_log_and_the_request(
    service: RunningService, model: FakeChatModel, logs: CapturedLogs, headers: dict[str, str]
) -> None:
    answer = await service.http.post("/v1/chat", json=QUESTION, headers=headers)
    assert answer.status_code == 200
    assert [request.tenant for request in model.requests] == ["acme"]
    assert logs.events("http.request")[0]["client"] == "acme"


async def test_the_name_of_a_client_is_not_kept_for_the_next_request(
    service: RunningService, logs: CapturedLogs
) -> None:
    await service.http.post("/v1/chat", json=QUESTION, headers=bearer(KEY))
    await service.http.post("/v1/chat", json=QUESTION)
    assert "client" not in logs.events("http.request")[1]


async def test_a_key_is_refused_before_the_body_is_read(service: RunningService) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{}"

    transport = httpx2.ASGITransport(service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as http:
        assert (await http.post("/v1/chat", content=body())).status_code == 401
    assert read == 0


@pytest.mark.parametrize("tenant", ["acme", "acme:", "acme:customer-7"])
async def test_a_client_may_name_tenants_of_its_own(
    service: RunningService, model: FakeChatModel, tenant: str
) -> None:
    headers = {**bearer(KEY), "X-Tenant-ID": tenant}
    assert (await service.http.post("/v1/chat", json=QUESTION, headers=headers)).is_success
    assert [request.tenant for request in model.requests] == [tenant]


@pytest.mark.parametrize("tenant", ["globex", "globex:acme", "acme2", "acm", "", "ACME", "acme.x"])
async def test_the_tenant_of_another_client_is_a_403(
    service: RunningService, model: FakeChatModel, tenant: str
) -> None:
    headers = {**bearer(KEY), "X-Tenant-ID": tenant}
    answer = await service.http.post("/v1/chat", json=QUESTION, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:problem:forbidden"
    assert model.requests == []


async def test_an_own_tenant_does_not_hide_a_foreign_one(service: RunningService) -> None:
    headers = [*bearer(KEY).items(), ("X-Tenant-ID", "acme"), ("X-Tenant-ID", "globex")]
    answer = await service.http.post("/v1/chat", json=QUESTION, headers=headers)
    assert answer.status_code == 403


async def test_without_keys_a_key_is_ignored(model: FakeChatModel) -> None:
    async with opened(model) as open_service:
        answer = await open_service.http.post("/v1/chat", json=QUESTION, headers=bearer("any"))
    assert answer.status_code == 200


async def test_the_schema_documents_how_to_send_a_key(service: RunningService) -> None:
    schema = (await service.http.get("/openapi.json")).json()
    assert set(schema["components"]["securitySchemes"]) == {"Bearer", "APIKey"}
    assert schema["paths"]["/v1/chat"]["post"]["security"] == [{"Bearer": []}, {"APIKey": []}]
    assert {"401", "403"} <= set(schema["paths"]["/v1/chat"]["post"]["responses"])
    assert "security" not in schema["paths"]["/healthz"]["get"]


async def test_a_key_that_expires_soon_is_logged_at_the_start(
    model: FakeChatModel, logs: CapturedLogs
) -> None:
    async with opened(model, client={"keys": ENTRIES}):
        pass
    (line,) = logs.events("client.key_expires")
    assert (line["name"], line["on"]) == ("acme", "2020-01-31")


@pytest.mark.parametrize(("length", "reason"), [(512, "unknown"), (513, "malformed")])
async def test_a_key_that_is_too_long_is_not_hashed(
    service: RunningService, logs: CapturedLogs, length: int, reason: str
) -> None:
    await service.http.post("/v1/chat", json=QUESTION, headers=bearer("k" * length))
    assert [line["reason"] for line in logs.events("client.unauthorized")] == [reason]
