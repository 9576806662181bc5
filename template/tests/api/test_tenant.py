import httpx2
import pytest

from app.testing import FakeChatModel
from tests.running_service import QUESTION, RunningService


async def asked(http: httpx2.AsyncClient, tenant: str | None) -> httpx2.Response:
    headers = [] if tenant is None else [(b"X-Tenant-ID", tenant.encode())]
    return await http.post("/v1/chat", json=QUESTION, headers=headers)


@pytest.mark.parametrize("tenant", [None, "acme", "a", "x" * 128, "A-1_b.c:d@e"])
async def test_the_tenant_is_part_of_the_request(
    service: RunningService, model: FakeChatModel, tenant: str | None
) -> None:
    assert (await asked(service.http, tenant)).status_code == 200
    assert [request.tenant for request in model.requests] == [tenant]


@pytest.mark.parametrize("tenant", ["", "a b", "a/b", "x" * 129, "é", "a,b"], ids=repr)
async def test_an_invalid_tenant_is_refused(
    service: RunningService, model: FakeChatModel, tenant: str
) -> None:
    answer = await asked(service.http, tenant)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "X-Tenant-ID"]
    assert answer.json()["detail"].startswith("X-Tenant-ID: String should match pattern")
    assert model.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat",
        "/v1/extract",  # feature: extract
        "/v1/ask",  # feature: ask
    ],
)
async def test_a_tenant_is_documented(service: RunningService, path: str) -> None:
    operation = (await service.http.get("/openapi.json")).json()["paths"][path]["post"]
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == (
        "X-Tenant-ID",
        "header",
        False,
    )


async def test_no_tenant_gets_anothers_answers_from_the_cache(api: httpx2.AsyncClient) -> None:
    tenants = ["acme", "globex", None, "acme", "globex", None]
    answers = [(await asked(api, tenant)).json() for tenant in tenants]
    assert [answer["cached"] for answer in answers] == [False] * 3 + [True] * 3
