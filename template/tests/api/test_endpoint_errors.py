"""The errors of a project's own endpoints reach the caller as they were raised."""

import datetime as dt
from decimal import Decimal
from typing import Any, Self

import httpx2
import pytest
from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, field_validator, model_validator
from starlette.exceptions import HTTPException

from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import RunningService, opened, service_with

PROBLEM = "application/problem+json"


class Order(BaseModel):
    quantity: int
    shipped: int = 0

    @field_validator("quantity")
    @classmethod
    def _positive(cls, value: int) -> int:
        if value < 1:
            raise ValueError("quantity must be positive")
        return value

    @model_validator(mode="after")
    def _not_more_than_ordered(self) -> Self:
        if self.shipped > self.quantity:
            raise ValueError("shipped must not exceed quantity")
        return self


async def raising(error: Exception) -> httpx2.Response:
    """The answer of an endpoint that raises the error."""
    router = APIRouter()

    @router.post("/own")
    async def own() -> None:
        raise error

    return await answer_of(router)


async def answer_of(router: APIRouter, **request: Any) -> httpx2.Response:
    app = service_with(FakeChatModel())
    app.include_router(router)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        return await client.post("/own", **request)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 418, 429, 451, 499, 500, 599])
async def test_status_and_detail_of_an_endpoint_are_kept(status: int) -> None:
    answer = await raising(HTTPException(status, "quantity must be positive"))
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["detail"] == "quantity must be positive"
    assert answer.json()["title"]


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_status_that_forbids_a_body_has_no_body(status: int) -> None:
    answer = await raising(HTTPException(status, headers={"ETag": '"1"'}))
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (status, b"", '"1"')


async def test_a_400_raised_from_another_error_is_not_called_an_undecodable_body() -> None:
    error = HTTPException(400, "the date is in the past")
    error.__cause__ = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    answer = await raising(error)
    assert (answer.status_code, answer.json()["detail"]) == (400, "the date is in the past")


@pytest.mark.parametrize(
    ("detail", "details", "text"),
    [
        pytest.param(
            {"code": "sold-out", "message": "none left"},
            {"code": "sold-out", "message": "none left"},
            "none left",
            id="object with a message",
        ),
        pytest.param({"code": 7}, {"code": 7}, '{"code":7}', id="object"),
        pytest.param(["a", 1], ["a", 1], '["a",1]', id="list"),
        pytest.param({1: {2}}, {"1": [2]}, '{"1":[2]}', id="keys and sets that JSON lacks"),
        pytest.param(Decimal("1.50"), "1.50", '"1.50"', id="decimal"),
        pytest.param(dt.date(2026, 1, 31), "2026-01-31", '"2026-01-31"', id="date"),
        pytest.param(Order(quantity=1), {"quantity": 1, "shipped": 0}, None, id="model"),
        pytest.param({"ratio": float("nan")}, {"ratio": None}, '{"ratio":null}', id="nan"),
        pytest.param({"why": ValueError("odd")}, {"why": "odd"}, '{"why":"odd"}', id="exception"),
        pytest.param(b"\xff", "_w==", '"_w=="', id="bytes"),
    ],
)
async def test_a_detail_that_is_no_text_is_an_extension_member(
    detail: Any, details: object, text: str | None
) -> None:
    answer = await raising(HTTPException(409, detail))
    assert (answer.status_code, answer.json()["details"]) == (409, details)
    assert isinstance(answer.json()["detail"], str)
    assert text is None or answer.json()["detail"] == text


@pytest.mark.parametrize("detail", ["half \ud83d", {"name": "\ud83d"}, {"\ud83d": 1}], ids=str)
async def test_a_detail_that_is_not_valid_unicode_keeps_its_status(detail: Any) -> None:
    answer = await raising(HTTPException(400, detail))
    assert answer.status_code == 400
    assert "\\ud83d" in answer.json()["detail"]


async def test_a_detail_that_contains_itself_keeps_its_status() -> None:
    circle: dict[str, object] = {}
    circle["self"] = circle
    assert (await raising(HTTPException(400, circle))).status_code == 400  # type: ignore[arg-type]


async def test_headers_of_an_endpoint_are_kept() -> None:
    headers: dict[str, Any] = {
        "WWW-Authenticate": "Bearer",
        "Retry-After": 5,
        "Content-Type": "text/plain",
        "Content-Length": "1",
    }
    answer = await raising(HTTPException(401, "no key", headers=headers))
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["detail"] == "no key"


async def test_an_error_of_a_dependency_is_kept() -> None:
    router = APIRouter()

    async def refused() -> None:
        raise HTTPException(400, {"code": "no-tenant"})  # type: ignore[arg-type]

    @router.post("/own", dependencies=[Depends(refused)])
    async def own() -> None: ...

    answer = await answer_of(router)
    assert (answer.status_code, answer.json()["details"]) == (400, {"code": "no-tenant"})


async def test_a_validation_error_inside_an_endpoint_is_a_bug_and_not_the_callers(
    logs: CapturedLogs,
) -> None:
    router = APIRouter()

    @router.post("/own")
    async def own() -> None:
        Order.model_validate({"quantity": "many"})

    answer = await answer_of(router)
    assert answer.status_code == 500
    assert logs.events("http.failed")


@pytest.fixture
def orders() -> APIRouter:
    router = APIRouter()

    @router.post("/own")
    async def own(_order: Order) -> None: ...

    return router


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param({"quantity": 0}, "quantity: quantity must be positive", id="of a field"),
        pytest.param(
            {"quantity": 1, "shipped": 2}, "shipped must not exceed quantity", id="of the body"
        ),
        pytest.param([1], "a JSON object with Content-Type", id="no object"),
        pytest.param(None, "a JSON object with Content-Type", id="no body"),
    ],
)
async def test_the_reason_of_a_validator_reaches_the_caller(
    orders: APIRouter, body: object, reason: str
) -> None:
    answer = await answer_of(orders, **({} if body is None else {"json": body}))
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param([{"msg": "odd"}], id="only a message"),
        pytest.param(
            [{"loc": ("body", 1.5, None), "msg": ValueError("odd"), "type": "x"}], id="odd"
        ),
        pytest.param([{"loc": [], "msg": "odd", "type": "json_invalid"}], id="no place"),
        pytest.param([], id="none"),
    ],
)
async def test_a_validation_error_that_an_endpoint_makes_is_a_422(
    errors: list[dict[str, Any]],
) -> None:
    answer = await raising(RequestValidationError(errors))
    assert answer.status_code == 422
    assert ("odd" in answer.json()["detail"]) is bool(errors)


async def test_an_undecodable_body_is_a_422(service: RunningService) -> None:
    answer = await service.http.post(
        "/v1/chat", content=b'{"a": "\xff"}', headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:problem:invalid-request")
    assert answer.json()["detail"] == "The body is not JSON in UTF-8."


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"messages": ' + b"9" * 5000 + b"}"],
    ids=["a hundred thousand brackets", "a number of 5,000 digits"],
)
async def test_json_that_python_cannot_hold_is_a_422(body: bytes) -> None:
    async with opened(FakeChatModel()) as service:
        answer = await service.http.post(
            "/v1/chat", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422
