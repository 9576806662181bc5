"""All errors of a model call, as one tree; and `StartRefusedError`.

LLMError
├── RetryableError                    the same call may succeed a little later
│   ├── ProviderConnectionError       refused, reset, or closed in the middle of an answer
│   ├── ProviderTimeoutError          no answer, or no next chunk, in time
│   ├── RateLimitError                429: the provider asks for a pause
│   ├── ProviderUnavailableError      5xx, 529, 408, 409
│   ├── DocumentsNotReadyError        the documents for the answer are still being read
│   └── StreamInterruptedError        a stream ended before its end; carries the text so far
└── NonRetryableError                 the same call would fail again at once
    ├── LimitReachedError             our own rate limit; nothing was sent
    ├── OverloadedError               all connections are busy, and the queue is full; nothing was sent
    ├── CircuitOpenError              the provider failed repeatedly; nothing was sent
    ├── ClientLimitError              a limit of the client is reached; nothing was sent
    │   └── BudgetSpentError          the client's budget of the day is spent
    ├── ModelNotAllowedError          the caller named a model that is not in ALLOWED_MODELS
    ├── MaxTokensError                the caller asked for more tokens than MAX_TOKENS_LIMIT
    ├── AuthenticationError           401, 403
    ├── ModelNotFoundError            404
    │   └── UnknownModelError         the model was named by the caller
    ├── RequestRefusedError           400, 413, 422: the provider does not accept this request
    │   ├── ContextTooLongError       the request has more tokens than the model accepts
    │   ├── TokenLimitError           the request has more tokens than we send in a minute; nothing was sent
    │   └── UnsupportedRequestError   refused before it was sent: the provider lacks the feature
    ├── QuotaExhaustedError           429 because the money is spent, not because of the rate
    ├── MalformedAnswerError          an answer that violates the provider's API
    ├── NoValidAnswerError            no attempt produced the requested structure
    ├── NoFinalAnswerError            a bound of tool calls is reached, and the model still calls tools
    ├── UnknownProviderError          a provider that is not configured
    └── NothingCanAnswerError         all providers failed

Errors have attributes (`provider`, `status`, `retry_after_s` …), so that one handler can convert
any of them to an HTTP answer, and one policy can decide on retries.
"""

import math
from collections.abc import Sequence

# Used if no provider sends a pause. It is about the time for which a circuit stays open.
_DEFAULT_PAUSE_S = 30.0


class StartRefusedError(Exception):
    """The service cannot start with this configuration. The code that raises this has logged why."""


class LLMError(Exception):
    """Root of the tree. `message` is safe to show to a user: it never contains a key or a URL.

    `should_retry` is the provider's own instruction on retries, if it sends one.
    `provider_request_id` is the provider's id of the failed call, for its support.
    `text` is the part of a streamed answer that arrived before the failure.
    `nothing_sent`: the provider did not receive the request, so it cannot have charged for it.
    """

    nothing_sent = False

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        provider_request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.status = status
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.provider_request_id = provider_request_id
        self.text = ""


class RetryableError(LLMError):
    """Another attempt may succeed."""


class ProviderConnectionError(RetryableError):
    """The provider could not be reached, or closed the connection."""


class ProviderTimeoutError(RetryableError):
    """The provider did not answer in time, or stopped sending."""


class RateLimitError(RetryableError):
    """The provider requests a pause, of `retry_after_s` if it sends the duration."""


class ProviderUnavailableError(RetryableError):
    """The provider answered that it is temporarily unavailable."""


class StreamInterruptedError(RetryableError):
    """A stream ended too early. `text` is the text that had arrived; it is never discarded."""

    def __init__(self, message: str, *, text: str, provider: str | None = None) -> None:
        super().__init__(message, provider=provider)
        self.text = text


class DocumentsNotReadyError(RetryableError):
    """The documents are still being read; this continues after the caller has left."""


class NonRetryableError(LLMError):
    """Another attempt at once would fail in the same way."""


class LimitReachedError(NonRetryableError):
    """Our own rate limit is reached. A call is possible again after `retry_after_s`."""

    nothing_sent = True


class OverloadedError(NonRetryableError):
    """All connections to the provider are busy, and too many calls wait for one (load shedding).

    Nothing was sent, so the provider's health is not affected. Trying again at once would add to the
    load: a call is likely to be accepted after `retry_after_s`.
    """

    nothing_sent = True


class CircuitOpenError(NonRetryableError):
    """The circuit breaker is open after repeated failures, for another `retry_after_s`."""

    nothing_sent = True


class ClientLimitError(NonRetryableError):
    """A limit of the client is reached: of requests, tokens, or requests at the same time."""

    nothing_sent = True

    def __init__(self, message: str, *, limit: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limit = limit


class BudgetSpentError(ClientLimitError):
    """The client's budget is spent until `renews_at`, a time in ISO 8601."""

    def __init__(
        self, message: str, *, limit: str, renews_at: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, limit=limit, retry_after_s=retry_after_s)
        self.renews_at = renews_at


class ModelNotAllowedError(NonRetryableError):
    """The caller named a model that the service does not offer."""

    nothing_sent = True


class MaxTokensError(NonRetryableError):
    """The caller asked for a longer answer than the service allows."""

    nothing_sent = True


class AuthenticationError(NonRetryableError):
    """The key is missing, wrong, or has no permission for the call."""


class ModelNotFoundError(NonRetryableError):
    """The provider does not know the model."""


class UnknownModelError(ModelNotFoundError):
    """The provider does not know the model, which the caller named."""


class RequestRefusedError(NonRetryableError):
    """The provider does not accept the request in this form."""


class ContextTooLongError(RequestRefusedError):
    """The messages, or they and `max_tokens`, exceed the model's context window."""


class TokenLimitError(RequestRefusedError):
    """The request may need more tokens than RATE_LIMIT_TOKENS_PER_MINUTE. Waiting does not help."""

    nothing_sent = True


class UnsupportedRequestError(RequestRefusedError):
    """The request needs a feature that this provider does not have. Nothing was sent."""

    nothing_sent = True


class QuotaExhaustedError(NonRetryableError):
    """The account's spending limit is reached; waiting does not help."""


class MalformedAnswerError(NonRetryableError):
    """The answer violates the provider's API. It was paid for, and another one costs again."""


class NoValidAnswerError(NonRetryableError):
    """No answer had the requested structure. `problems` are the errors of the last one.

    If another attempt could help, the model was asked again with its errors: `attempts` is the
    total number of attempts.
    """

    def __init__(
        self, message: str, *, attempts: int, problems: Sequence[str], provider: str | None = None
    ) -> None:
        super().__init__(message, provider=provider)
        self.attempts = attempts
        self.problems = tuple(problems)


class NoFinalAnswerError(NonRetryableError):
    """The model was asked to answer without tools, and called a tool again instead.

    `bound` is the bound that the tool calls had reached: rounds, time or cost.
    """

    def __init__(self, message: str, *, bound: str, provider: str | None = None) -> None:
        super().__init__(message, provider=provider)
        self.bound = bound


class UnknownProviderError(NonRetryableError):
    """The caller named a provider that is not configured in this service."""


class NothingCanAnswerError(NonRetryableError):
    """All providers of the chain failed. `causes` are their errors, in the order of the chain.

    `retry_after_s` is the time until the first of them may be available again.
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
