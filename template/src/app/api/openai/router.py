"""OpenAI's interface in front of the service's models: docs/openai-interface.md."""

from functools import partial
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse

from app.api.event_stream import EventStream
from app.api.inputs import Tenant, normalize_texts
from app.api.json_route import JSONRoute
from app.api.messages import checked
from app.api.middleware.body_limit import hold_for_answer
from app.api.openai import convert
from app.api.openai.answers import ChatCompletion, EmbeddingList, Model, ModelList
from app.api.openai.embeddings import written
from app.api.openai.errors import openai_errors
from app.api.openai.models import Catalogue
from app.api.openai.stream import EVENT_STREAM, Chunks, cut_off, frames
from app.api.openai.wire import ChatCompletionIn, EmbeddingsIn
from app.api.services import ServicesDep
from app.llm.model import open_stream
from app.llm.opened_stream import StreamToOpen

# Models have no date of creation here; OpenAI's type wants a number.
_CREATED = 0


def openai_router(catalogue: Catalogue) -> APIRouter:
    router = APIRouter(prefix="/openai/v1", tags=["openai"], route_class=JSONRoute)

    @router.post(
        "/chat/completions",
        response_model=ChatCompletion,
        responses={200: EVENT_STREAM, **openai_errors(400, 403, 404, 413, 429, 500, 502, 503, 504)},
    )
    async def chat_completions(
        body: ChatCompletionIn, services: ServicesDep, tenant: Tenant
    ) -> Response | ChatCompletion:
        """Creates a model's answer, whole or as a stream of chunks."""
        _refuse_unfinished(body)
        target = catalogue.chat_target(body.model)
        question = await checked(convert.request_of(body, target, tenant))
        completion_id = f"chatcmpl-{uuid4().hex}"
        if body.stream:
            events = StreamToOpen(partial(open_stream, services.chat, question))
            chunks = Chunks(completion_id, body.model, with_usage=body.includes_usage)
            encoded = frames(events, chunks, debug=services.debug)
            return EventStream(encoded, final_frame=cut_off)
        response = await services.chat.complete(question)
        return convert.completion_of(response, completion_id)

    @router.post(
        "/embeddings",
        response_model=EmbeddingList,
        responses=openai_errors(400, 404, 413, 429, 500, 502, 503, 504),
    )
    async def embeddings(body: EmbeddingsIn, services: ServicesDep, request: Request) -> Response:
        """Turns texts into vectors."""
        catalogue.check_embedding(body.model)
        texts = await _normalized(body.input)
        hold_for_answer(request.scope, services.embeddings.bytes_for(len(texts)))
        batch = await services.embeddings.embed(texts)
        encoding = body.encoding_format or "float"
        return StreamingResponse(written(batch, encoding), media_type="application/json")

    @router.get("/models", responses=openai_errors(429, 500))
    async def models() -> ModelList:
        """Lists the configured models."""
        return {
            "object": "list",
            "data": [_model(name, owner) for name, owner in catalogue.ids()],
        }

    @router.get("/models/{name:path}", responses=openai_errors(404, 429, 500))
    async def model(name: str) -> Model:
        """Returns one configured model."""
        return _model(name, catalogue.owner_of(name))

    return router


def _model(name: str, owner: str) -> Model:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}


def _refuse_unfinished(body: ChatCompletionIn) -> None:
    """Providers treat an unfinished answer differently; a fallback must not change the result."""
    if body.messages[-1].role == "assistant":
        message = "the last message must not have the role 'assistant'"
        raise _refused("messages", message)


async def _normalized(texts: list[str]) -> list[str]:
    found = await normalize_texts(texts)
    normalized = [text for text in found if text is not None]
    if len(normalized) < len(texts):
        raise _refused("input", "a text has too many combining marks in a row")
    return normalized


def _refused(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": "value_error"}])
