"""What a failure of the HTTP client, before or after a status, means in our error tree."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx

from app.errors import ConnectionFailed, LLMError, MalformedAnswer, NoConnectionFree, TimedOut
from app.streaming.sse import EventTooLargeError

# The most specific class of a failure decides. Our own words only: the client's messages name
# addresses, and one of its errors repeats the header that it could not send.
_FAILURES: dict[type[BaseException], tuple[type[LLMError], str]] = {
    TimeoutError: (TimedOut, "did not answer in time"),
    httpx.TimeoutException: (TimedOut, "did not answer in time"),
    httpx.ConnectTimeout: (TimedOut, "could not be reached in time"),
    httpx.PoolTimeout: (NoConnectionFree, "was not called: too many calls are waiting for it"),
    httpx.ConnectError: (ConnectionFailed, "could not be reached"),
    httpx.ProxyError: (ConnectionFailed, "could not be reached through the proxy"),
    httpx.RemoteProtocolError: (ConnectionFailed, "hung up, or does not speak HTTP"),
    httpx.RequestError: (ConnectionFailed, "lost the connection"),
    httpx.DecodingError: (MalformedAnswer, "sent a body that cannot be decompressed"),
    httpx.InvalidURL: (ConnectionFailed, "has an address that is not one"),
    EventTooLargeError: (MalformedAnswer, "sent an event that is too large"),
}


@contextmanager
def as_llm_errors(provider: str) -> Iterator[None]:
    """Raise what fails in here as one of `app.errors`, in the provider's name."""
    try:
        yield
    except (*_FAILURES,) as failure:
        kind, what = next(_FAILURES[c] for c in type(failure).__mro__ if c in _FAILURES)
        raise kind(f"{provider} {what}", provider=provider) from failure
