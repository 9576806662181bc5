"""Anthropic's message batches as they travel. Of what comes back, only what is read is named."""

from typing import Required

from pydantic import AwareDatetime, JsonValue, TypeAdapter
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.batch_lines import BatchId
from app.llm.providers.boundary import Count, Items, Lax, adapter


class Counts(TypedDict, total=False):
    processing: Count
    succeeded: Count
    errored: Count
    canceled: Count
    expired: Count


class Batch(TypedDict, total=False):
    id: Required[BatchId]
    processing_status: Required[str]
    created_at: Lax[str]
    request_counts: Lax[Counts]


class BatchList(TypedDict, total=False):
    data: Items[Batch]
    has_more: Lax[bool]


class Result(TypedDict, total=False):
    type: Required[str]
    message: JsonValue
    error: JsonValue


class Line(TypedDict, total=False):
    custom_id: Required[str]
    result: Required[Result]


BATCH = adapter(Batch)
BATCH_LIST = adapter(BatchList)
LINE = adapter(Line)
TIME = TypeAdapter(AwareDatetime)
