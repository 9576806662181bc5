"""Everything that can go wrong with a model call, as one tree.

LLMError
├── RetryableError                the same call may succeed a little later
│   ├── ConnectionFailed          refused, reset, hung up in the middle of an answer
│   ├── TimedOut                  no answer, or no next chunk, in time
│   │   └── NoConnectionFree      all connections were busy for too long; nothing was sent
│   ├── RateLimited               429: the provider asks for a pause
│   ├── ProviderUnavailable       5xx, 529, 408, 409
│   ├── DocumentsNotReady         what the answer shall be made from is still being read
│   └── StreamInterrupted         a stream ended before its end; carries the text so far
└── NonRetryableError             the same call, at once, would fail again
    ├── LimitReached              our own rate limit; nothing was sent
    ├── CircuitOpen               the provider failed too often of late; nothing was sent
    ├── AuthenticationFailed      401, 403
    ├── ModelNotFound             404
    ├── RequestRefused            400, 413, 422: the provider does not accept this request
    │   └── UnsupportedRequest    known beforehand, so it was never sent
    ├── QuotaExhausted            429 because the money is spent, not because of the pace
    ├── MalformedAnswer           an answer that is not what the provider's API promises
    ├── NoValidAnswer             the model did not produce what was asked for, in several attempts
    ├── UnknownProvider           a provider that is not configured
    └── NothingCanAnswer          every provider was tried

Errors carry facts (`provider`, `status`, `retry_after_s` …), so that one handler can turn any of
them into an HTTP answer and one policy can decide whether to try again.
"""

import math
from collections.abc import Sequence

# When no provider says how long it will be away. A circuit is closed again after about as long.
_DEFAULT_PAUSE_S = 30.0


class LLMError(Exception):
    """Root of the tree. `message` is safe to show to a user: it never holds a key or a URL.

    `should_retry` is the provider's own word on whether to try again, for when it gives one.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.status = status
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry


class RetryableError(LLMError):
    """Another attempt may succeed."""


class ConnectionFailed(RetryableError):
    """The provider could not be reached, or hung up."""


class TimedOut(RetryableError):
    """The provider did not answer, or stopped sending, in time."""


class NoConnectionFree(TimedOut):
    """Too many calls were waiting. It says nothing about the provider, which was never asked."""


class RateLimited(RetryableError):
    """The provider asks for a pause of `retry_after_s`, when it says how long."""


class ProviderUnavailable(RetryableError):
    """The provider answered that it cannot answer now."""


class StreamInterrupted(RetryableError):
    """A stream ended without its end. `text` is what had arrived; it is never thrown away."""

    def __init__(self, message: str, *, text: str, provider: str | None = None) -> None:
        super().__init__(message, provider=provider)
        self.text = text


class DocumentsNotReady(RetryableError):
    """The documents to answer from are still being read, which goes on without the caller."""


class NonRetryableError(LLMError):
    """Another attempt at once would fail in the same way."""


class LimitReached(NonRetryableError):
    """No more calls are made for now. There is room again after `retry_after_s`."""


class CircuitOpen(NonRetryableError):
    """The provider is left alone after a series of failures, for `retry_after_s` more."""


class AuthenticationFailed(NonRetryableError):
    """The key is missing, wrong or not allowed to do this."""


class ModelNotFound(NonRetryableError):
    """The provider does not know the model."""


class RequestRefused(NonRetryableError):
    """The provider does not accept the request as it is."""


class UnsupportedRequest(RequestRefused):
    """The caller asks for something that this provider does not have. Nothing was sent."""


class QuotaExhausted(NonRetryableError):
    """The account's spending limit is reached; waiting does not help."""


class MalformedAnswer(NonRetryableError):
    """The answer does not have the promised shape. It was paid for: asking again pays again."""


class NoValidAnswer(NonRetryableError):
    """No answer had the wanted structure. `problems` is what was wrong with the last one.

    The model was told, and asked again, where that could help: `attempts` is how often in all.
    """

    def __init__(
        self, message: str, *, attempts: int, problems: Sequence[str], provider: str | None = None
    ) -> None:
        super().__init__(message, provider=provider)
        self.attempts = attempts
        self.problems = tuple(problems)


class UnknownProvider(NonRetryableError):
    """The caller named a provider that this service does not have."""


class NothingCanAnswer(NonRetryableError):
    """Every provider of the chain failed. `causes` are their errors, in the order of the chain.

    `retry_after_s` is when the first of them may be back.
    """

    def __init__(self, causes: Sequence[LLMError]) -> None:
        waits = [cause.retry_after_s for cause in causes if cause.retry_after_s is not None]
        wait_s = min(waits, default=_DEFAULT_PAUSE_S)
        reasons = "; ".join(cause.message for cause in causes)
        super().__init__(
            f"No provider can answer at the moment: {reasons}. "
            f"Try again in {math.ceil(wait_s)} seconds.",
            retry_after_s=wait_s,
        )
        self.causes = tuple(causes)
