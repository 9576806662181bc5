"""A line of a batch's results, whichever provider wrote it."""

from collections.abc import Callable

from pydantic import JsonValue

from app.errors import (
    LLMError,
    MalformedAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from app.llm.batch import BatchResult
from app.llm.providers.boundary import parsed


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
