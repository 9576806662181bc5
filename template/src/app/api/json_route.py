"""A route that serves a valid JSON request without FastAPI's general solver of dependencies.

For each request the solver looks at every parameter again: 240 Python calls for `POST /v1/chat`. This
route looks at them once. Any other request goes to FastAPI's own handler: one with an error, with a
header that a parameter reads, with another content type, or in tests with `app.dependency_overrides`.
So the errors, the OpenAPI document and the rules of dependencies stay FastAPI's.
"""

import inspect
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response, params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts, serialize_response
from starlette.types import Message

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Arguments = dict[str, Any]

_JSON = (b"application/json", b"application/json; charset=utf-8")
_CONTENT_TYPE = b"content-type"
_INVALID = object()


class JSONRoute(APIRoute):
    """`APIRouter(route_class=JSONRoute)`. An endpoint that no plan fits is served by FastAPI alone."""

    def get_route_handler(self) -> Handler:
        # FastAPI calls this once for each `include_router`, which may add dependencies.
        general = super().get_route_handler()
        plans: list[Plan | None] = []

        async def handle(request: Request) -> Response:
            if not plans:
                plans.append(_plan_of(self, request.app))
            plan = plans[0]
            if plan is None or not plan.fits(request):
                return await general(request)
            messages: list[Message] = []
            value = await _read(request, messages)
            body = _INVALID if value is _INVALID else plan.validated(value)
            if body is _INVALID:
                return await general(_replayed(request, messages))
            return await plan.answer(request, body)

        return handle


@dataclass(frozen=True, slots=True)
class _Dependency:
    """An `async` function that reads the request or optional headers."""

    name: str | None  # the parameter of the endpoint, if it takes the value
    call: Callable[..., Coroutine[Any, Any, Any]]
    request_name: str | None
    without_headers: Arguments


@dataclass(frozen=True, slots=True)
class Plan:
    """What a route needs of a request, found once."""

    endpoint: Callable[..., Coroutine[Any, Any, Any]]
    body: Any  # FastAPI's `ModelField`
    request_name: str | None
    dependencies: tuple[_Dependency, ...]
    response: Any
    headers: frozenset[bytes]  # a request with one of these needs the solver

    def fits(self, request: Request) -> bool:
        is_json = False
        for name, value in request.scope["headers"]:
            if name == _CONTENT_TYPE:
                if value not in _JSON:
                    return False
                is_json = True
            elif name in self.headers:
                return False
        return is_json and not request.app.dependency_overrides

    def validated(self, value: object) -> object:
        body, errors = self.body.validate(value)
        return _INVALID if errors else body

    async def answer(self, request: Request, body: object) -> Response:
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
        answer = await self.endpoint(**arguments)
        if isinstance(answer, Response):
            return answer
        content = await serialize_response(
            field=self.response, response_content=answer, dump_json=True
        )
        return Response(content, media_type="application/json")


async def _read(request: Request, messages: list[Message]) -> object:
    """Read the body. `messages` has what arrived, so that FastAPI's handler can read it again."""
    while True:
        message = await request.receive()
        messages.append(message)
        if message["type"] != "http.request":
            return _INVALID
        if not message.get("more_body", False):
            break
    try:
        return json.loads(b"".join([message.get("body", b"") for message in messages]))
    except (ValueError, RecursionError):
        return _INVALID


def _replayed(request: Request, messages: list[Message]) -> Request:
    left = iter(messages)

    async def receive() -> Message:
        message = next(left, None)
        return await request.receive() if message is None else message

    return Request(request.scope, receive)


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
