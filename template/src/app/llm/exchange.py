"""One call to a provider: its deadline, its progress, its id at the provider, and its failure."""

import asyncio
import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

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
    """

    def __init__(self, progress: Callable[[], int] = _no_progress) -> None:
        self.progress = progress
        self.request_id: str | None = None
        self.on_event: Callable[[], None] = _ignored
        self._timeout: asyncio.Timeout | None = None

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

    def within(self, seconds: float) -> asyncio.Timeout:
        """A time limit for a block (a context manager)."""
        self._timeout = asyncio.timeout(seconds)
        return self._timeout

    def until(self, when: float) -> asyncio.Timeout:
        """The deadline for a block (a context manager)."""
        self._timeout = asyncio.timeout_at(when)
        return self._timeout

    def move_deadline(self, when: float | None) -> None:
        """Move the deadline of the running block; `None` removes it."""
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(when)

    def signed(self, response: LLMResponse) -> LLMResponse:
        """A copy of the response, with the provider's id of the call."""
        if self.request_id is None:
            return response
        return response.model_copy(update={"provider_request_id": self.request_id})


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


class as_llm_errors:  # noqa: N801 - reads as a statement, like `suppress` and `closing`
    """Raise failures of the block as errors of `app.errors` with the provider's name."""

    __slots__ = ("_provider",)

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        """Nothing: only the end of the block matters. A generator would take twice the calls."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        failure: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if failure is None or not isinstance(failure, (*_FAILURES,)):
            return
        kind, what = next(_FAILURES[c] for c in type(failure).__mro__ if c in _FAILURES)
        error = kind(f"{self._provider} {what}", provider=self._provider)
        error.nothing_sent = error.nothing_sent or isinstance(failure, _UNSENT)
        raise error from failure
