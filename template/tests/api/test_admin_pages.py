"""The pages for operators, and what browsers on other sites may do."""

from typing import Any

import httpx2
import pytest

from app.settings import Settings
from app.testing import CapturedLogs, FakeChatModel
from tests.client_keys import CLIENT_KEYS, KEYS, bearer
from tests.running_service import QUESTION, opened

PAGES = ("/metrics", "/metrics/summary", "/docs", "/docs/assets/swagger-ui.css", "/openapi.json")
PROD: dict[str, Any] = {
    "app_env": "prod",
    "llm_providers": ("openai",),
    "openai": {"base_url": "https://api.openai.com/v1", "api_key": "sk-0123456789abcdef"},
    "client": {"keys": CLIENT_KEYS},
}
SITE = "https://app.example.com"


@pytest.mark.parametrize("path", PAGES)
async def test_in_dev_the_pages_are_open(model: FakeChatModel, path: str) -> None:
    async with opened(model, client={"keys": CLIENT_KEYS}) as service:
        assert (await service.http.get(path)).status_code == 200


@pytest.mark.parametrize("headers", [{}, bearer(KEYS["acme"])], ids=["no key", "a client"])
@pytest.mark.parametrize("path", PAGES)
async def test_in_prod_the_pages_do_not_exist_on_the_port_of_clients(
    model: FakeChatModel, path: str, headers: dict[str, str]
) -> None:
    async with opened(model, **PROD) as service:
        assert (await service.http.get(path, headers=headers)).status_code == 404
        assert (await service.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("settings", [PROD, {}], ids=["prod", "dev"])
async def test_with_an_admin_port_the_pages_are_there_and_only_there(
    model: FakeChatModel, settings: dict[str, Any]
) -> None:
    async with opened(model, admin_port=9100, **settings) as service:
        transport = httpx2.ASGITransport(service.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x:9100") as admin:
            on_admin = [(await admin.get(path)).status_code for path in PAGES]
            probe = await admin.get("/readyz")
            chat = await admin.post("/v1/chat", json=QUESTION, headers=bearer(KEYS["acme"]))
        on_main = [(await service.http.get(path)).status_code for path in PAGES]
    assert (set(on_admin), set(on_main)) == ({200}, {404})
    assert (probe.status_code, chat.status_code) == (200, 404)
    assert model.requests == []


@pytest.mark.parametrize("path", ["/", "/?from=somewhere"])
async def test_the_root_leads_to_the_documentation(model: FakeChatModel, path: str) -> None:
    async with opened(model) as service:
        answer = await service.http.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (307, "docs")
        followed = await service.http.get(path, follow_redirects=True)
    assert (followed.status_code, followed.url.path) == (200, "/docs")


@pytest.mark.parametrize("headers", [{}, bearer(KEYS["acme"])], ids=["no key", "a client"])
async def test_the_root_does_not_exist_where_the_documentation_is_not(
    model: FakeChatModel, headers: dict[str, str]
) -> None:
    async with opened(model, **PROD) as service:
        assert (await service.http.get("/", headers=headers)).status_code == 404


async def test_the_host_header_does_not_open_the_pages(model: FakeChatModel) -> None:
    async with opened(model, admin_port=9100) as service:
        answer = await service.http.get("/metrics", headers={"Host": "service:9100"})
    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/v1/chat", "/healthz", "/metrics"])
async def test_no_answer_is_kept_by_a_cache(model: FakeChatModel, path: str) -> None:
    async with opened(model) as service:
        answer = await service.http.get(path)
    assert answer.headers.get_list("Cache-Control") == ["no-store"]


async def test_a_stream_is_marked_once(model: FakeChatModel) -> None:
    async with opened(model) as service:
        answer = await service.ask(stream=True)
    assert answer.headers.get_list("Cache-Control") == ["no-store"]


async def preflight(http: httpx2.AsyncClient, origin: str) -> httpx2.Response:
    asked = {"Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization,content-type"
    return await http.options("/v1/chat", headers={"Origin": origin, **asked})


async def test_other_sites_may_not_call_the_service_by_default(model: FakeChatModel) -> None:
    async with opened(model) as service:
        answers = [await preflight(service.http, SITE), await service.ask()]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_an_allowed_site_may_call_with_its_key(model: FakeChatModel) -> None:
    settings: dict[str, Any] = {"cors_origins": SITE, "client": {"keys": CLIENT_KEYS}}
    async with opened(model, **settings) as service:
        before = await preflight(service.http, SITE)
        headers = {"Origin": SITE, **bearer(KEYS["acme"])}
        answer = await service.http.post("/v1/chat", json=QUESTION, headers=headers)
        refused = await service.http.post("/v1/chat", json=QUESTION, headers={"Origin": SITE})
        another = await preflight(service.http, "https://evil.example.com")
    assert (before.status_code, answer.status_code, refused.status_code) == (200, 200, 401)
    for each in (before, answer, refused):
        assert each.headers["Access-Control-Allow-Origin"] == SITE
        assert "Access-Control-Allow-Credentials" not in each.headers
    assert another.status_code == 400
    assert "Access-Control-Allow-Origin" not in another.headers


async def test_a_preflight_has_an_id_and_a_line_in_the_log(
    model: FakeChatModel, logs: CapturedLogs
) -> None:
    async with opened(model, cors_origins=SITE) as service:
        answer = await preflight(service.http, SITE)
    (line,) = logs.events("http.request")
    assert (line["method"], line["route"], line["status"]) == ("OPTIONS", "unmatched", 200)
    assert line["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("origins", ["https://a.example, http://localhost:3000", "*"])
def test_origins_are_separated_by_commas(origins: str) -> None:
    found = Settings(cors_origins=origins).cors_origins  # type: ignore[arg-type]
    assert found == tuple(origin.strip() for origin in origins.split(","))
