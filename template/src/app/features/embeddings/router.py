"""`POST /v1/embeddings`: texts into vectors; each text succeeds or fails alone."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, FailFast, Field

from app.api.inputs import NOT_BLANK_PATTERN, TOO_MANY_MARKS, RequestBody, normalize_texts
from app.api.json_route import JSONRoute
from app.api.middleware.body_limit import hold_for_answer
from app.api.openapi import problems
from app.api.services import ServicesDep
from app.errors import LLMError
from app.llm.embedding_batches import EmbeddedBatch
from app.llm.types import Vector

# With the limit of a body that leaves 200 bytes for each, and the answer has 300 MB.
MAX_TEXTS = 10_000
# Models take some 8,000 tokens, of about four characters. What is below and still too long for one,
# the provider refuses.
MAX_TEXT_CHARS = 32_768


class EmbeddingsBody(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"texts": ["The Zugspitze", "A mountain in Bavaria"]}]},
    )

    # One error is enough: ten thousand take 20 ms to find.
    texts: Annotated[list[str], FailFast()] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description="At least one text must not be blank.",
        json_schema_extra={"contains": {"pattern": NOT_BLANK_PATTERN}},
    )


class EmbeddedText(BaseModel):
    """One text's vector, or why it has none."""

    index: int
    embedding: list[float] | None
    error: str | None


class EmbeddingsAnswer(BaseModel):
    """`items` are in the order of the texts."""

    model: str
    items: list[EmbeddedText]


router = APIRouter(tags=["embeddings"], route_class=JSONRoute)

_ITEMS_PER_WRITE = 16


@router.post(
    "/v1/embeddings",
    summary="Turn texts into vectors",
    response_model=EmbeddingsAnswer,
    responses=problems(402, 413, 422, 429, 500, 502, 503, 504),
)
async def embeddings(body: EmbeddingsBody, services: ServicesDep, request: Request) -> Response:
    """Embed each text. A text that cannot be embedded gets an error, and the others get their vectors."""
    wanted, faults = await _checked([text.strip() for text in body.texts])
    if not wanted:
        raise RequestValidationError(_refusals(faults))
    hold_for_answer(request.scope, services.embeddings.bytes_for(len(wanted)))
    batch = await services.embeddings.embed(wanted)
    return StreamingResponse(_written(batch, faults), media_type="application/json")


async def _checked(texts: Sequence[str]) -> tuple[list[str], list[str | None]]:
    """Return the texts to embed, normalized, and for each text of the request its fault or None."""
    faults = [_fault(text) for text in texts]
    good = (text for text, fault in zip(texts, faults, strict=True) if fault is None)
    normalized = iter(await normalize_texts(list(good)))
    wanted: list[str] = []
    for index, fault in enumerate(faults):
        if fault is None and (text := next(normalized)) is not None:
            wanted.append(text)
        elif fault is None:
            faults[index] = TOO_MANY_MARKS
    return wanted, faults


def _fault(text: str) -> str | None:
    if not text:
        return "The text is empty"
    if len(text) > MAX_TEXT_CHARS:
        return f"The text has more than {MAX_TEXT_CHARS} characters"
    return None


def _refusals(faults: Sequence[str | None]) -> list[dict[str, object]]:
    return [
        {"loc": ("body", "texts", index), "msg": fault, "type": "text_refused"}
        for index, fault in enumerate(faults)
    ]


async def _written(
    batch: EmbeddedBatch, faults: Sequence[str | None]
) -> AsyncGenerator[bytes, None]:
    """Encode a few items at a time.

    In one piece, ten thousand vectors would hold up every other request for a second, and be in
    memory three times.
    """
    items = (_item(index, outcome) for index, outcome in enumerate(_outcomes(batch, faults)))
    yield b'{"model":' + orjson.dumps(batch.model) + b',"items":['
    yield next(items)
    while piece := list(islice(items, _ITEMS_PER_WRITE)):
        yield b"," + b",".join(piece)
    yield b"]}"


def _outcomes(batch: EmbeddedBatch, faults: Sequence[str | None]) -> Iterator[Vector | str]:
    """The vector or the fault of each text, in the order of the request."""
    embedded = iter(batch.items)
    for fault in faults:
        outcome = next(embedded) if fault is None else fault
        yield outcome.message if isinstance(outcome, LLMError) else outcome


def _item(index: int, outcome: Vector | str) -> bytes:
    vector, error = (None, outcome) if isinstance(outcome, str) else (outcome, None)
    return orjson.dumps({"index": index, "embedding": vector, "error": error}, default=list)
