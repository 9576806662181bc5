"""Texts to embed as the items of a job: see `app.api.job_kinds`.

A vector is stored as 32-bit numbers in base64, a quarter of its size as JSON.
"""

from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints, TypeAdapter

from app.api.inputs import NOT_BLANK, normalize_text
from app.api.job_kinds import ItemResult, JobKind
from app.api.services import Services
from app.errors import LLMError
from app.features.embeddings.router import MAX_TEXT_CHARS
from app.llm.embedding_batches import MAX_TEXTS
from app.llm.types import Vector

TextItem = Annotated[
    str,
    NOT_BLANK,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=MAX_TEXT_CHARS),
    AfterValidator(normalize_text),
]


async def _embed(texts: Sequence[str], services: Services, _tenant: str | None) -> list[ItemResult]:
    batch = await services.embeddings.embed(texts)
    return [
        outcome if isinstance(outcome, LLMError) else _stored(batch.model, outcome)
        for outcome in batch.items
    ]


def _stored(model: str, vector: Vector) -> dict[str, Any]:
    return {"model": model, "embedding": b64encode(array("f", vector).tobytes()).decode()}


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    vector = array("f")
    vector.frombytes(b64decode(result["embedding"]))
    return {**result, "embedding": vector.tolist()}


# As many texts as a call to the provider takes: a worker that is killed repeats one call.
KIND = JobKind(
    name="embeddings",
    item=TypeAdapter(TextItem),
    schema=TextItem,
    run=_embed,
    items_per_call=MAX_TEXTS,
    calls_per_batch=1,
    shown=_shown,
)
