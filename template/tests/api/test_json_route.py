"""`JSONRoute` answers as FastAPI's own route does, and calls its solver only when it has to."""

import sys
from collections.abc import AsyncIterator
from types import FrameType
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.dependencies import utils as solver
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.api.json_route import JSONRoute


class Body(BaseModel):
    number: int


class Answer(BaseModel):
    number: int
    by: str | None = None
    path: str | None = None


async def caller(by: Annotated[str | None, Header(alias="X-By", pattern="^[a-z]+$")] = None) -> str:
    return by or "unknown"


async def path_of(request: Request) -> str:
    return request.url.path


async def refuse() -> None:
    raise HTTPException(403, "never")


Caller = Annotated[str, Depends(caller)]
Path = Annotated[str, Depends(path_of)]


def routed(route_class: type[APIRoute]) -> APIRouter:
    router = APIRouter(route_class=route_class)

    @router.post("/doubled")
    async def doubled(body: Body, request: Request, by: Caller, path: Path) -> Answer:
        assert request.method == "POST"
        return Answer(number=2 * body.number, by=by, path=path)

    @router.post("/own", response_model=Answer)
    async def own(body: Body) -> Answer | Response:
        return Response(b"%d" % body.number, status_code=202)

    @router.post("/signed")
    async def signed(body: Body, request: Request) -> Answer:
        return Answer(number=body.number, by=(await request.body()).decode())

    @router.post("/refused", dependencies=[Depends(refuse)])
    async def refused(body: Body) -> Answer:
        raise AssertionError(body)

    @router.post("/found/{name}")
    async def found(name: str, body: Body, again: Annotated[int, Query()] = 0) -> Answer:
        return Answer(number=body.number, by=f"{name} {again}")

    @router.post("/made", status_code=201, response_model_exclude_none=True)
    async def made(body: Body) -> Answer:
        return Answer(number=body.number)

    @router.post("/plain")
    def plain(body: Body) -> Answer:
        return Answer(number=body.number)

    return router


def application(route_class: type[APIRoute]) -> FastAPI:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    app.include_router(routed(route_class))
    return app


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://service")


JSON = {"content-type": "application/json"}
REQUESTS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "valid": ("/doubled", b'{"number": 4}', JSON),
    "with a charset": (
        "/doubled",
        b'{"number": 4}',
        {"content-type": "application/json; charset=utf-8"},
    ),
    "with the header": ("/doubled", b'{"number": 4}', {**JSON, "X-By": "me"}),
    "with a wrong header": ("/doubled", b'{"number": 4}', {**JSON, "X-By": "ME"}),
    "with a wrong body": ("/doubled", b'{"number": "four"}', JSON),
    "with both wrong": ("/doubled", b"{}", {**JSON, "X-By": "ME"}),
    "without JSON": ("/doubled", b'{"number": ', JSON),
    "not UTF-8": ("/doubled", b'{"number": "\xff"}', JSON),
    "too deep": ("/doubled", b"[" * 100_000, JSON),
    "without a body": ("/doubled", b"", JSON),
    "of another type": ("/doubled", b'{"number": 4}', {"content-type": "text/plain"}),
    "of a type like JSON": ("/doubled", b'{"number": 4}', {"content-type": "application/a+json"}),
    "without a type": ("/doubled", b'{"number": 4}', {}),
    "an answer of its own": ("/own", b'{"number": 4}', JSON),
    "an endpoint that reads the body again": ("/signed", b'{"number": 4}', JSON),
    "refused by a dependency": ("/refused", b'{"number": 4}', JSON),
    "refused before the body": ("/refused", b"{}", JSON),
    "a path and a query": ("/found/me?again=1", b'{"number": 4}', JSON),
    "another status": ("/made", b'{"number": 4}', JSON),
    "not async": ("/plain", b'{"number": 4}', JSON),
}


@pytest.mark.parametrize(("path", "body", "headers"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_an_answer_is_that_of_fastapis_own_route(
    path: str, body: bytes, headers: dict[str, str]
) -> None:
    answers = []
    for route_class in (APIRoute, JSONRoute):
        async with client_of(application(route_class)) as http:
            answers.append(await http.post(path, content=body, headers=headers))
    own, json = answers
    assert (json.status_code, json.content) == (own.status_code, own.content)
    assert json.headers == own.headers


def test_the_document_is_that_of_fastapis_own_route() -> None:
    assert application(JSONRoute).openapi() == application(APIRoute).openapi()


@pytest.mark.parametrize("path", ["/doubled", "/own", "/signed", "/refused"])
async def test_a_valid_request_does_not_reach_the_solver(path: str) -> None:
    assert await solver_calls(application(JSONRoute), path) == 0
    assert await solver_calls(application(APIRoute), path) > 0


async def test_a_body_in_several_parts_is_read_whole() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b'{"num', b'ber": ', b"4}"):
            yield part

    async with client_of(application(JSONRoute)) as http:
        answer = await http.post("/doubled", content=parts(), headers=JSON)
    assert answer.json() == {"number": 8, "by": "unknown", "path": "/doubled"}


async def test_an_override_of_a_dependency_is_used() -> None:
    app = application(JSONRoute)
    app.dependency_overrides[caller] = lambda: "the test"
    async with client_of(app) as http:
        answer = await http.post("/doubled", json={"number": 4})
    assert answer.json()["by"] == "the test"


async def test_a_dependency_of_the_application_or_an_inclusion_is_called() -> None:
    of_inclusion = FastAPI()
    of_inclusion.include_router(routed(JSONRoute), dependencies=[Depends(refuse)])
    of_application = FastAPI(dependencies=[Depends(refuse)])
    of_application.include_router(routed(JSONRoute))
    for app in (of_inclusion, of_application):
        async with client_of(app) as http:
            assert (await http.post("/doubled", json={"number": 4})).status_code == 403


async def test_two_inclusions_of_a_router_keep_their_dependencies_apart() -> None:
    app, router = FastAPI(), routed(JSONRoute)
    app.include_router(router, prefix="/open")
    app.include_router(router, prefix="/closed", dependencies=[Depends(refuse)])
    async with client_of(app) as http:
        statuses = [
            (await http.post(f"/{prefix}/doubled", json={"number": 4})).status_code
            for prefix in ("open", "closed", "open")
        ]
    assert statuses == [200, 403, 200]


async def test_a_caller_that_leaves_while_it_sends_is_noticed() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"num', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/doubled",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await application(JSONRoute)(scope, receive, send)
    assert sent[0]["status"] == 499


async def solver_calls(app: FastAPI, path: str) -> int:
    count = 0

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code is solver.solve_dependencies.__code__

    async with client_of(app) as http:
        sys.setprofile(profile)
        try:
            await http.post(path, json={"number": 4})
        finally:
            sys.setprofile(None)
    return count
