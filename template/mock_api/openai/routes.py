"""OpenAI's routes: checks the key and the model, and calls the module that answers."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mock_api.answers import complete
from mock_api.call import call_of
from mock_api.keys import bearer, is_missing_model, is_refused
from mock_api.openai import chat, embeddings
from mock_api.openai.requests import ChatRequest, EmbeddingRequest
from mock_api.openai.stream import ChatStream
from mock_api.openai.wire import Model, ModelList
from mock_api.refusal import RefusalError
from mock_api.reply import Stream, Whole
from mock_api.validation import check

_MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-large", "text-embedding-3-small")


async def chat_completions(request: Request) -> Response:
    authorize(request)
    call = call_of(request.scope)
    asked = check(ChatRequest, call.body)
    model_of(asked.model)
    completion = complete(chat.prompt_of(asked), endless_tools=call.oddity.endless_tools)
    if asked.stream:
        return Stream(list(ChatStream(asked, completion, call.digest).frames()))
    return Whole(chat.answer(asked, completion, call.digest))


async def create_embeddings(request: Request) -> Response:
    authorize(request)
    asked = check(EmbeddingRequest, call_of(request.scope).body)
    model_of(asked.model)
    return Whole(embeddings.answer(asked))


async def list_models(request: Request) -> Response:
    authorize(request)
    models: ModelList = {"object": "list", "data": [model_of(name) for name in _MODELS]}
    return Whole(models)


async def get_model(request: Request) -> Response:
    authorize(request)
    return Whole(model_of(request.path_params["name"]))


def authorize(request: Request) -> None:
    key = bearer(request.headers.get("authorization"))
    if not key:
        raise RefusalError(401, "You didn't provide an API key (Authorization: Bearer YOUR_KEY).")
    if is_refused(key):
        raise RefusalError(401)


def model_of(name: str) -> Model:
    if is_missing_model(name):
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise RefusalError(404, message, code="model_not_found")
    return {"id": name, "object": "model", "created": chat.CREATED, "owned_by": "mock"}


ROUTES = [
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/embeddings", create_embeddings, methods=["POST"]),
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{name:path}", get_model, methods=["GET"]),
]
