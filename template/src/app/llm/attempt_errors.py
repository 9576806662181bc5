"""The meaning of an attempt's error: for the circuit, the health, a retry, and the cost."""

import asyncio

from app.errors import (
    AuthenticationError,
    CircuitOpenError,
    LimitReachedError,
    LLMError,
    MalformedAnswerError,
    OverloadedError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RetryableError,
    StreamInterruptedError,
    TokenLimitError,
    UnsupportedRequestError,
)
from app.llm.costs import UnknownCost

# These do not count: the provider was not called, or it asked for a pause. `Retrying` keeps the
# pause. Counting it as a failure would make an outage of every busy minute.
NEUTRAL = (
    LimitReachedError,
    CircuitOpenError,
    UnsupportedRequestError,
    TokenLimitError,
    OverloadedError,
    RateLimitError,
)

DOWN = (
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StreamInterruptedError,
    MalformedAnswerError,
)

# These count against health but do not open the circuit: the provider responds, waiting does not fix
# a bad key or an empty account, and `CircuitOpenError` would hide the cause. Other refusals concern only
# their own request.
UNUSABLE = (*DOWN, AuthenticationError, QuotaExhaustedError)

_REASONS: dict[type[BaseException], UnknownCost] = {
    asyncio.CancelledError: "cancelled",
    GeneratorExit: "cancelled",
    ProviderTimeoutError: "timed_out",
    MalformedAnswerError: "malformed",
    ProviderConnectionError: "interrupted",
    StreamInterruptedError: "interrupted",
}


def is_worth_another_try(error: LLMError) -> bool:
    """Whether to retry. A provider can forbid it, but cannot make a refused request worth a retry."""
    return isinstance(error, RetryableError) and error.should_retry is not False


def reason_of_unknown_cost(error: BaseException, *, has_begun: bool) -> UnknownCost | None:
    """Return why an attempt that ended with this error may have a cost; `None`: it has none."""
    if isinstance(error, LLMError) and error.nothing_sent:
        return None
    for kind in type(error).__mro__:
        if kind in _REASONS:
            return _REASONS[kind]
    if isinstance(error, LLMError):
        return "interrupted" if has_begun else None
    return "unexpected"
