"""`POST /v1/ask`: a question about the service's documents, answered with citations."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from app.api.documentation import problems
from app.api.listening import to_nobody, while_listening
from app.api.state import Door
from app.api.tenant import Tenant
from app.api.text import one_spelling
from app.llm.grounded import GroundedAnswer
from app.llm.types import LLMResponse, Usage
from app.telemetry.correlation import request_id

router = APIRouter(tags=["ask"])

# Models for embeddings take some 8,000 tokens, of about four characters.
MAX_QUESTION_CHARS = 32_768

Question = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS),
    AfterValidator(one_spelling),
]


class AskBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"question": "How do I add a provider?"}]},
    )

    question: Question
    top_k: int | None = Field(
        default=None, ge=1, le=50, description="So many pieces at most; null: as the settings say"
    )


class Context(BaseModel):
    """A piece of a document that the model was shown. `score`: 1 is as near as can be."""

    id: str = Field(examples=["architecture.md#where-a-new-thing-goes/1"])
    score: float
    text: str


class AskAnswer(BaseModel):
    """`[1]` in the answer is the first of the contexts.

    Without any, the documents have nothing on the question: then no model was asked, `response` is
    from the provider `none`, and cost nothing.
    """

    answer: str
    contexts: list[Context]
    response: LLMResponse


@router.post(
    "/v1/ask",
    summary="Ask about the documents",
    response_model=AskAnswer,
    responses=problems(413, 422, 429, 500, 502, 503, 504),
)
async def ask(
    body: AskBody, door: Door, request: Request, tenant: Tenant = None
) -> AskAnswer | Response:
    asking = door.grounded.ask(body.question, top_k=body.top_k, tenant=tenant)
    answer = await while_listening(request, asking)
    return to_nobody() if answer is None else _shown(answer)


def _shown(answer: GroundedAnswer) -> AskAnswer:
    return AskAnswer(
        answer=answer.text,
        contexts=[
            Context(id=hit.chunk.id, score=hit.score, text=hit.chunk.text) for hit in answer.sources
        ],
        response=answer.response or _of_nobody(answer.text),
    )


def _of_nobody(text: str) -> LLMResponse:
    """So that whoever adds up tokens and costs has no special case for what cost none."""
    return LLMResponse(
        id=request_id.get() or "none",
        provider="none",
        model="none",
        content=text,
        finish_reason="stop",
        usage=Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),
        cost_usd=0.0,
    )
