"""One call to a provider: its deadline, its progress, its id at the provider, and its failure."""

import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx2 as httpx

from app.errors import (
    LLMError,
    MalformedAnswerError,
    OverloadedError,
    ProviderConnectionError,
    ProviderTimeoutError,
)
from app.llm.types import LLMResponse
from app.streaming.sse import EventTooLargeError

if TYPE_CHECKING:
    import asyncio

# The most reliable first: a gateway may echo our own X-Request-ID, and Azure sends three of these.
_ID_HEADERS = (
    "request-id",  # Anthropic
    "x-request-id",  # OpenAI, Groq, Fireworks and most gateways
    "apim-request-id",  # Azure
    "x-ms-request-id",
    "x-amzn-requestid",  # Bedrock
    "mistral-correlation-id",
    "x-generation-id",  # OpenRouter
    "cf-ray",  # an answer of Cloudflare that never reached the provider
)
# An id appears in logs, traces and answers, so it is short and has no spaces, quotes or line ends.
_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def provider_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The provider's id of a call, if a header has one in a valid form and only once."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    for known in _ID_HEADERS:
        given = found.get(known, ())
        if len(given) == 1 and _ID.fullmatch(named := given[0].strip()):
            return named
    return None


def support_fields(answer: LLMResponse | LLMError) -> dict[str, str]:
    """Log fields that the provider's support asks for: its id of the call, if known."""
    known = answer.provider_request_id
    return {} if known is None else {"provider_request_id": known}


def failure_fields(error: LLMError) -> dict[str, object]:
    """The fields of `support_fields`, and the pause in seconds that the provider asked for, if it did."""
    fields: dict[str, object] = {**support_fields(error)}
    if error.retry_after_s is not None:
        fields["retry_after_s"] = round(error.retry_after_s, 3)
    return fields


def _no_progress() -> int:
    return 0


def _ignored() -> None:
    """No-op hook: a whole answer has no events."""


class Exchange:
    """The state of one call. As a context manager it adds the provider's id to errors.

    `progress` returns the number of stream events so far with text, tool arguments or thinking.
    `timeout` is that of the running block, so that its deadline can be moved.
    """

    def __init__(self, progress: Callable[[], int] = _no_progress) -> None:
        self.progress = progress
        self.request_id: str | None = None
        self.on_event: Callable[[], None] = _ignored
        self.timeout: asyncio.Timeout | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, LLMError) and error.provider_request_id is None:
            error.provider_request_id = self.request_id

    def move_deadline(self, when: float | None) -> None:
        """Move the deadline of the running block; `None` removes it."""
        if self.timeout is not None and not self.timeout.expired():
            self.timeout.reschedule(when)

    def signed(self, response: LLMResponse) -> LLMResponse:
        """A copy of the response, with the provider's id of the call."""
        if self.request_id is None:
            return response
        return response.model_copy(update={"provider_request_id": self.request_id})


# The messages are our own, because the client's messages contain addresses, and one of them repeats
# the header that could not be sent.
_ERRORS: dict[type[Exception], tuple[type[LLMError], str]] = {
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

FAILURES = tuple(_ERRORS)

# These failures occur before the request is sent.
_UNSENT = (httpx.ConnectTimeout, httpx.ConnectError, httpx.ProxyError, httpx.InvalidURL)


def llm_error(failure: Exception, provider: str) -> LLMError:
    """One of `FAILURES` as an error of `app.errors`. The most specific class of the failure decides."""
    kind, what = next(_ERRORS[c] for c in type(failure).__mro__ if c in _ERRORS)
    error = kind(f"{provider} {what}", provider=provider)
    error.nothing_sent = error.nothing_sent or isinstance(failure, _UNSENT)
    return error
