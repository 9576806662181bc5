"""OpenAI's files and batches as they travel. Of what comes back, only what is read is named."""

from typing import Annotated, Required

from pydantic import JsonValue, StringConstraints
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.batch_lines import BatchId
from app.llm.providers.boundary import Count, Given, Identifier, Items, Lax, adapter


class File(TypedDict, total=False):
    id: Required[BatchId]


class FileError(TypedDict, total=False):
    code: Lax[str]
    message: Lax[str]
    line: Count


class FileErrors(TypedDict, total=False):
    data: Items[FileError]


class Counts(TypedDict, total=False):
    total: Count
    completed: Count
    failed: Count


class Batch(TypedDict, total=False):
    id: Required[BatchId]
    status: Required[Annotated[str, StringConstraints(min_length=1)]]
    created_at: Count
    output_file_id: Given[BatchId]
    error_file_id: Given[BatchId]
    errors: Lax[FileErrors]
    request_counts: Lax[Counts]
    metadata: Lax[dict[str, JsonValue]]


class BatchList(TypedDict, total=False):
    data: Items[Batch]
    has_more: Lax[bool]


class LineResponse(TypedDict, total=False):
    status_code: Required[int]
    request_id: Identifier
    body: JsonValue


class LineError(TypedDict, total=False):
    code: Lax[str]
    message: Lax[str]


class Line(TypedDict, total=False):
    custom_id: Required[str]
    response: Given[LineResponse]
    error: Given[LineError]


FILE = adapter(File)
BATCH = adapter(Batch)
BATCH_LIST = adapter(BatchList)
LINE = adapter(Line)
