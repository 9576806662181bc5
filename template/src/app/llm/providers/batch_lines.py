"""The providers' pages of batches, and the lines of a batch's results."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import JsonValue, StringConstraints

from app.errors import (
    LLMError,
    MalformedAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from app.llm.batch import BatchResult
from app.llm.providers.boundary import parsed

# Ids of batches and files come from a provider and go into the path of the next call.
BatchId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$")]

Batch = TypeVar("Batch")

# The batches of a page, and of the pages that are searched.
PAGE = 100
_PAGES = 10


async def newest_since(
    since: datetime,
    page_after: Callable[[Batch | None], Awaitable[tuple[Sequence[Batch], bool]]],
    created: Callable[[Batch], datetime],
) -> AsyncIterator[Batch]:
    """The batches from the newest to those of that time, at most a thousand.

    `page_after` gets the last batch so far, and returns the next ones and whether there are more.
    """
    last: Batch | None = None
    for _ in range(_PAGES):
        batches, has_more = await page_after(last)
        for batch in batches:
            if created(batch) < since:
                return
            yield batch
        if not (has_more and batches):
            return
        last = batches[-1]


def read_line(line: bytes, read: Callable[[JsonValue], BatchResult], provider: str) -> BatchResult:
    """The result in a line. A line that cannot be read is one result that cannot be matched."""
    try:
        return read(parsed(line, provider))
    except MalformedAnswerError as error:
        return BatchResult(None, error)


def not_run(provider: str, *, expired: bool) -> LLMError:
    """The error of a request that its batch never came to. It costs nothing."""
    if expired:
        message = f"{provider} did not come to this request before its batch expired"
        return ProviderTimeoutError(message, provider=provider)
    message = f"{provider} did not come to this request before its batch was cancelled"
    return ProviderUnavailableError(message, provider=provider)
