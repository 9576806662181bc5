"""Anthropic's routes: checks the key and the model, and answers as JSON or as a stream."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from mock_api.answers import complete
from mock_api.anthropic.errors import ANTHROPIC
from mock_api.anthropic.messages import answer, prompt_of
from mock_api.anthropic.requests import MessagesRequest
from mock_api.anthropic.stream import frames
from mock_api.anthropic.wire import Model, ModelList
from mock_api.call import call_of
from mock_api.keys import bearer, is_missing_model, is_refused
from mock_api.refusal import RefusalError
from mock_api.reply import Stream, Whole
from mock_api.validation import check

_MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5")
_CREATED_AT = "2025-10-01T00:00:00Z"


async def create_message(request: Request) -> Response:
    authorize(request.headers)
    call = call_of(request.scope)
    asked = check(MessagesRequest, call.body)
    if is_missing_model(asked.model):
        raise RefusalError(404, f"model: {asked.model}")
    completion = complete(prompt_of(asked), endless_tools=call.oddity.endless_tools)
    if asked.stream:
        return Stream(list(frames(asked, completion, call.digest)))
    return Whole(answer(asked, completion, call.digest))


async def list_models(request: Request) -> Response:
    authorize(request.headers)
    models: ModelList = {
        "data": [_model(name) for name in _MODELS],
        "has_more": False,
        "first_id": _MODELS[0],
        "last_id": _MODELS[-1],
    }
    return Whole(models)


def authorize(headers: Headers) -> None:
    key = headers.get("x-api-key") or bearer(headers.get("authorization"))
    if not key:
        raise RefusalError(401, "x-api-key header is required")
    if is_refused(key):
        raise RefusalError(401)
    if not headers.get("anthropic-version"):
        raise RefusalError(400, "header is required", field=("anthropic-version",))


def _model(name: str) -> Model:
    return {"type": "model", "id": name, "display_name": name, "created_at": _CREATED_AT}


class _ForAnthropic(Route):
    """A route for a path of both APIs: it matches if the intake chose Anthropic's dialect."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.NONE or call_of(scope).dialect is ANTHROPIC:
            return match, child
        return Match.NONE, {}


ROUTES = [
    Route("/v1/messages", create_message, methods=["POST"]),
    _ForAnthropic("/v1/models", list_models, methods=["GET"]),
]
