"""`POST /v1/ask`: answers a question about the service's documents, with citations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.api.inputs import NOT_BLANK, WHOLE, RequestBody, Tenant, normalize_text
from app.api.json_route import JSONRoute
from app.api.openapi import problems
from app.api.services import services_of
from app.llm.types import LLMResponse, PromptVersion, Usage
from app.rag.answering import DocumentAnswer, DocumentQA, open_documents
from app.rag.policy import DocumentsPolicy
from app.telemetry.correlation import request_id

_endpoint = APIRouter(tags=["ask"], route_class=JSONRoute)

# Embedding models accept about 8,000 tokens of about four characters each.
MAX_QUESTION_CHARS = 32_768

Question = Annotated[
    str,
    NOT_BLANK,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS),
    AfterValidator(normalize_text),
]


async def _documents(request: Request) -> DocumentQA:
    documents: DocumentQA = request.app.state.documents
    return documents


Documents = Annotated[DocumentQA, Depends(_documents)]


class AskBody(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"question": "How do I add a provider?"}]},
    )

    question: Question = Field(description="The question to answer from the documents.")
    top_k: Annotated[int, Field(ge=1, le=50), WHOLE] | None = Field(
        default=None,
        description="The maximum number of document chunks to give to the model. Defaults to the "
        "service's setting.",
    )


class Context(BaseModel):
    """A chunk of a document that was given to the model.

    `score` is its cosine similarity to the question; 1 is the best.
    """

    id: str = Field(examples=["architecture.md#where-a-new-thing-goes/1"])
    score: float
    text: str


class AskAnswer(BaseModel):
    """An answer with citations: `[1]` in `answer` refers to the first element of `contexts`.

    If the documents contain nothing about the question, `contexts` is empty, and no model is
    called: `response` has the provider `none` and costs nothing, and `prompt` is null.

    If the service lets the model search again, the chunks that it finds follow the first ones, and
    `usage` and `cost_usd` of `response` are those of all calls to the model for this answer.
    """

    answer: str
    contexts: list[Context]
    response: LLMResponse
    prompt: PromptVersion | None


@_endpoint.post(
    "/v1/ask",
    summary="Answer a question about the documents",
    responses=problems(402, 413, 422, 429, 500, 502, 503, 504),
)
async def ask(body: AskBody, documents: Documents, tenant: Tenant) -> AskAnswer:
    """Searches the service's documents and creates an answer with citations of them."""
    return _shown(await documents.ask(body.question, top_k=body.top_k, tenant=tenant))


def _shown(answer: DocumentAnswer) -> AskAnswer:
    return AskAnswer(
        answer=answer.text,
        contexts=[
            Context(id=scored.chunk.id, score=scored.score, text=scored.chunk.text)
            for scored in answer.chunks
        ],
        response=answer.response or _without_model(answer.text),
        prompt=answer.prompt,
    )


def _without_model(text: str) -> LLMResponse:
    """An empty response, so that callers that add up tokens and costs need no special case."""
    return LLMResponse(
        id=request_id.get() or "none",
        provider="none",
        model="none",
        content=text,
        finish_reason="stop",
        usage=Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),
        cost_usd=0.0,
    )


def documents_router(policy: DocumentsPolicy) -> APIRouter:
    """The endpoint, and the documents, which are opened and closed with the service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = services_of(app)
        async with open_documents(
            services.chat,
            services.embeddings,
            policy,
            tracer=services.tracer,
            previews=services.previews,
            metrics=services.metrics,
            shared=services.shared,
        ) as documents:
            app.state.documents = documents
            services.checks.update(documents.checks)
            yield

    router = APIRouter(lifespan=lifespan)
    router.include_router(_endpoint)
    return router
