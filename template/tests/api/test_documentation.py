import base64
import hashlib
import re

import pytest
from fastapi import APIRouter

from app.project import project
from app.testing import FakeChatModel
from tests.running_service import RunningService, opened


async def test_docs_is_a_page(service: RunningService) -> None:
    answer = await service.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert f"<title>{project().name}</title>" in answer.text


async def test_docs_fetches_nothing_from_elsewhere(service: RunningService) -> None:
    page = (await service.http.get("/docs")).text
    fetched = re.findall(r"""(?:src|href|url)(?:=|: )["']([^"']+)["']""", page)
    assert len(fetched) == 4
    assert [path for path in fetched if "//" in path] == []
    answers = [await service.http.get(f"/{path}") for path in fetched]
    assert [answer.status_code for answer in answers] == [200] * 4


@pytest.mark.parametrize("status", [404, 413, 422, 500, 502, 503, 504])
async def test_every_problem_of_chat_is_documented_with_its_status_and_type(
    service: RunningService, status: int
) -> None:
    schema = (await service.http.get("/openapi.json")).json()
    content = schema["paths"]["/v1/chat"]["post"]["responses"][str(status)]["content"]
    assert content == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }


async def test_a_stream_is_documented_beside_the_answer_in_one_piece(
    service: RunningService,
) -> None:
    schema = (await service.http.get("/openapi.json")).json()
    content = schema["paths"]["/v1/chat"]["post"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/event-stream"}


async def test_the_configured_providers_are_documented() -> None:
    async with opened(FakeChatModel(), llm_providers=["anthropic"]) as service:
        models = (await service.http.get("/openapi.json")).json()["components"]["schemas"]
    name, null = models["ChatBody"]["properties"]["provider"]["anyOf"]
    assert (name["enum"], null) == (["anthropic"], {"type": "null"})


async def test_the_422_of_a_projects_own_endpoint_is_documented_as_a_problem(
    service: RunningService,
) -> None:
    router = APIRouter()

    @router.get("/own")
    async def own(number: int) -> int:
        return number

    service.app.include_router(router)
    schema = (await service.http.get("/openapi.json")).json()
    assert schema["paths"]["/own"]["get"]["responses"]["422"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    assert "HTTPValidationError" not in schema["components"]["schemas"]


async def test_text_that_is_blank_is_not_valid_for_the_schema_either(
    service: RunningService,
) -> None:
    models = (await service.http.get("/openapi.json")).json()["components"]["schemas"]
    text, _parts = models["UserMessage"]["properties"]["content"]["anyOf"]
    assert text["pattern"] == r"[^\s\x85]|\ufeff"
    question = models["AskBody"]["properties"]["question"]  # feature: ask
    assert question["pattern"] == r"[^\s\x85]|\ufeff"  # feature: ask
    assert models["EmbeddingsBody"]["properties"]["texts"]["contains"] == {
        "pattern": r"[^\s\x85]|\ufeff"
    }


async def test_docs_runs_no_script_but_its_own(service: RunningService) -> None:
    answer = await service.http.get("/docs")
    policy = answer.headers["content-security-policy"]
    script = answer.text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "SwaggerUIBundle" in script
    assert f"script-src 'self' 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
