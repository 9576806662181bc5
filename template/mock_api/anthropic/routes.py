"""Anthropic's route: who asks, for which model, and in one piece or as a stream."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mock_api.answers import complete
from mock_api.anthropic.messages import answer, prompt_of
from mock_api.anthropic.requests import MessagesRequest
from mock_api.anthropic.stream import frames
from mock_api.call import call_of
from mock_api.keys import bearer, is_missing_model, is_refused
from mock_api.refusal import Refusal
from mock_api.reply import Stream, Whole
from mock_api.validation import check


async def create_message(request: Request) -> Response:
    _authorize(request.headers)
    call = call_of(request.scope)
    asked = check(MessagesRequest, call.body)
    if is_missing_model(asked.model):
        raise Refusal(404, f"model: {asked.model}")
    completion = complete(prompt_of(asked))
    if asked.stream:
        return Stream(list(frames(asked, completion, call.digest)))
    return Whole(answer(asked, completion, call.digest))


def _authorize(headers: Headers) -> None:
    key = headers.get("x-api-key") or bearer(headers.get("authorization"))
    if not key:
        raise Refusal(401, "x-api-key header is required")
    if is_refused(key):
        raise Refusal(401)
    if not headers.get("anthropic-version"):
        raise Refusal(400, "header is required", field=("anthropic-version",))


ROUTES = [Route("/v1/messages", create_message, methods=["POST"])]
