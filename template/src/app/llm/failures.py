"""Converts failures of the HTTP client (those without a status) to the errors of `app.errors`."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx

from app.errors import (
    LLMError,
    MalformedAnswerError,
    OverloadedError,
    ProviderConnectionError,
    ProviderTimeoutError,
)
from app.streaming.sse import EventTooLargeError

# The most specific class of a failure decides. The messages are our own, because the client's
# messages contain addresses, and one of them repeats the header that could not be sent.
_FAILURES: dict[type[BaseException], tuple[type[LLMError], str]] = {
    TimeoutError: (ProviderTimeoutError, "did not answer in time"),
    httpx.TimeoutException: (ProviderTimeoutError, "did not answer in time"),
    httpx.ConnectTimeout: (ProviderTimeoutError, "could not be reached in time"),
    httpx.PoolTimeout: (OverloadedError, "was not called: too many calls are waiting for it"),
    httpx.ConnectError: (ProviderConnectionError, "could not be reached"),
    httpx.ProxyError: (ProviderConnectionError, "could not be reached through the proxy"),
    httpx.RemoteProtocolError: (
        ProviderConnectionError,
        "closed the connection, or does not speak HTTP",
    ),
    httpx.RequestError: (ProviderConnectionError, "lost the connection"),
    httpx.DecodingError: (MalformedAnswerError, "sent a body that cannot be decompressed"),
    httpx.InvalidURL: (ProviderConnectionError, "has an invalid address"),
    EventTooLargeError: (MalformedAnswerError, "sent an event that is too large"),
}

# These failures occur before the request is sent.
_UNSENT = (httpx.ConnectTimeout, httpx.ConnectError, httpx.ProxyError, httpx.InvalidURL)


@contextmanager
def as_llm_errors(provider: str) -> Iterator[None]:
    """Raise failures of the block as errors of `app.errors` with the provider's name."""
    try:
        yield
    except (*_FAILURES,) as failure:
        kind, what = next(_FAILURES[c] for c in type(failure).__mro__ if c in _FAILURES)
        error = kind(f"{provider} {what}", provider=provider)
        error.nothing_sent = error.nothing_sent or isinstance(failure, _UNSENT)
        raise error from failure
