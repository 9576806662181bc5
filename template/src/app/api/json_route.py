"""The route of endpoints that take JSON: their work ends when the caller disconnects.

A valid request is served without FastAPI's general solver of dependencies. For each request the solver
looks at every parameter again: 240 Python calls for `POST /v1/chat`. This route looks at them once. Any
other request goes to FastAPI's own handler: one with an error, with a header that a parameter reads,
with another content type, or in tests with `app.dependency_overrides`. So the errors, the OpenAPI
document and the rules of dependencies stay FastAPI's.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from fastapi import FastAPI, Request, Response, params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts, serialize_response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from app.api.problems import CLIENT_CLOSED
from app.resilience.race import cancel_and_wait, wait_for_end

Endpoint = Callable[..., Coroutine[Any, Any, Any]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Arguments = dict[str, Any]

_JSON = (b"application/json", b"application/json; charset=utf-8")
_INVALID = object()

# `receive` of the request that the running code belongs to.
_receive: ContextVar[Receive] = ContextVar("receive")


class JSONRoute(APIRoute):
    """`APIRouter(route_class=JSONRoute)`: an `async` endpoint ends when its caller disconnects.

    The whole body is read first: after it only the end of the connection can come. An endpoint that no
    plan fits is served by FastAPI alone.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        **options: Any,  # noqa: ANN401 - FastAPI's own
    ) -> None:
        is_async = inspect.iscoroutinefunction(endpoint)
        super().__init__(path, _until_disconnect(endpoint) if is_async else endpoint, **options)

    def get_route_handler(self) -> Handler:
        # FastAPI calls this once for each `include_router`, which may add dependencies.
        general = super().get_route_handler()
        plans: list[Plan | None] = []

        async def handle(request: Request) -> Response:
            if not plans:
                plans.append(_plan_of(self, request.app))
            plan = plans[0]
            try:
                content = await request.body()  # the request keeps it, so it can be read again
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED)
            _receive.set(request.receive)
            arguments = None if plan is None else await plan.arguments(request, content)
            if plan is None or arguments is None:
                return await general(request)
            answer = await plan.endpoint(**arguments)
            if isinstance(answer, Response):
                return answer
            written = await serialize_response(
                field=plan.response, response_content=answer, dump_json=True
            )
            return Response(written, media_type="application/json")

        return handle


def _until_disconnect(endpoint: Endpoint) -> Endpoint:
    """The endpoint, cancelled when its caller disconnects, because calls to providers cost money."""

    @wraps(endpoint)
    async def watched(**arguments: object) -> object:
        working = asyncio.create_task(endpoint(**arguments))
        has_left = False

        def end(leaving: asyncio.Future[Message]) -> None:
            nonlocal has_left
            if not leaving.cancelled():
                leaving.exception()  # retrieved, or asyncio logs that it never was
                has_left = working.cancel()

        leaving = asyncio.ensure_future(_receive.get()())
        leaving.add_done_callback(end)
        try:
            return await asyncio.shield(working)
        except BaseException:
            if not has_left or _is_cancelled():
                raise
            return Response(status_code=CLIENT_CLOSED)  # only the log sees it
        finally:
            leaving.remove_done_callback(end)
            leaving.cancel()
            if not working.done():  # the request itself is cancelled
                await (wait_for_end([working]) if has_left else cancel_and_wait([working]))

    return watched


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@dataclass(frozen=True, slots=True)
class _Dependency:
    """An `async` function that reads the request or optional headers."""

    name: str | None  # the parameter of the endpoint, if it takes the value
    call: Endpoint
    request_name: str | None
    without_headers: Arguments


@dataclass(frozen=True, slots=True)
class Plan:
    """What a route needs of a request, found once."""

    endpoint: Endpoint
    body: Any  # FastAPI's `ModelField`
    request_name: str | None
    dependencies: tuple[_Dependency, ...]
    response: Any
    headers: frozenset[bytes]  # a request with one of these needs the solver

    async def arguments(self, request: Request, content: bytes) -> Arguments | None:
        """The arguments of the endpoint, or `None` for a request that FastAPI has to serve."""
        body = self._valid_body(request, content)
        if body is _INVALID:
            return None
        arguments = {self.body.name: body}
        if self.request_name is not None:
            arguments[self.request_name] = request
        for dependency in self.dependencies:
            given = dict(dependency.without_headers)
            if dependency.request_name is not None:
                given[dependency.request_name] = request
            value = await dependency.call(**given)
            if dependency.name is not None:
                arguments[dependency.name] = value
        return arguments

    def _valid_body(self, request: Request, content: bytes) -> object:
        headers = dict(reversed([*request.scope["headers"]]))  # the first of several with one name
        is_json = headers.get(b"content-type") in _JSON
        if not is_json or request.app.dependency_overrides or not self.headers.isdisjoint(headers):
            return _INVALID
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            return _INVALID
        body, errors = self.body.validate(value)
        return _INVALID if errors else body


def _plan_of(route: APIRoute, app: FastAPI) -> Plan | None:
    """The plan of a route, or `None` if FastAPI has to serve all of its requests."""
    found = [one for one in iter_route_contexts(app.routes) if one.original_route is route]
    if len(found) != 1 or not _has_default_answer(found[0]):
        return None  # included twice: each inclusion may have dependencies of its own
    dependant: Dependant = found[0].dependant
    dependencies = [_dependency(one) for one in dependant.dependencies]
    planned = tuple(one for one in dependencies if one is not None)
    calls = {one.call for one in planned}
    if not _takes_one_body(dependant) or not len(dependencies) == len(planned) == len(calls):
        return None
    return Plan(
        endpoint=dependant.call,  # type: ignore[arg-type]  # a coroutine function, as checked
        body=dependant.body_params[0],
        request_name=dependant.request_param_name,
        dependencies=planned,
        response=found[0].response_field,
        headers=frozenset(
            header.alias.lower().encode()
            for one in dependant.dependencies
            for header in one.header_params
        ),
    )


def _has_default_answer(route: RouteContext) -> bool:
    """Whether the answer is serialized by its type alone, with the status 200."""
    return (
        route.response_field is not None
        and isinstance(route.response_class, DefaultPlaceholder)
        and route.status_code is None
        and route.response_model_by_alias
        and not any(getattr(route, f"response_model_{option}") for option in _OPTIONS)
    )


_OPTIONS = ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none")


def _takes_one_body(endpoint: Dependant) -> bool:
    bodies = [param.field_info for param in endpoint.body_params]
    if len(bodies) != 1 or endpoint.header_params or any(_other_needs(endpoint)):
        return False
    info = bodies[0]
    return isinstance(info, params.Body) and not isinstance(info, params.Form) and not info.embed


def _dependency(dependant: Dependant) -> _Dependency | None:
    headers = dependant.header_params
    if dependant.body_params or dependant.dependencies or any(_other_needs(dependant)):
        return None
    if not all(_is_optional(header.field_info) for header in headers):
        return None
    return _Dependency(
        name=dependant.name,
        call=dependant.call,  # type: ignore[arg-type]  # a coroutine function, as checked
        request_name=dependant.request_param_name,
        without_headers={header.name: None for header in headers},
    )


def _is_optional(info: Any) -> bool:  # noqa: ANN401 - a `FieldInfo` of FastAPI
    """Whether the parameter is one header with the default `None`, so not a model of several."""
    return info.default is None and info.default_factory is None and info.alias is not None


def _other_needs(dependant: Dependant) -> Iterator[object]:
    yield not inspect.iscoroutinefunction(dependant.call)
    yield dependant.path_params or dependant.query_params or dependant.cookie_params
    yield dependant.websocket_param_name or dependant.http_connection_param_name
    yield dependant.response_param_name or dependant.background_tasks_param_name
    yield dependant.security_scopes_param_name
