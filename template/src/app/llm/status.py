"""What an HTTP status, and the error body that came with it, mean in our error tree."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import (
    AuthenticationFailed,
    LLMError,
    MalformedAnswer,
    ModelNotFound,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """What a provider says about its own failure: for a person, and for a program."""

    message: str
    kinds: frozenset[str] = frozenset()


_BY_STATUS: dict[int, type[LLMError]] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: ProviderUnavailable,
    409: ProviderUnavailable,
    429: RateLimited,
}
_CALLERS_FAULT, _PROVIDERS_FAULT = 4, 5
_BY_HUNDRED: dict[int, type[LLMError]] = {
    _CALLERS_FAULT: RequestRefused,
    _PROVIDERS_FAULT: ProviderUnavailable,
}

# A 429 with one of these is about money. Waiting does not help; asking again may even cost.
_SPENT = frozenset(
    {
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
    }
)


def error_for(
    status: int,
    *,
    provider: str,
    detail: ErrorDetail | None = None,
    retry_after_s: float | None = None,
    should_retry: bool | None = None,
) -> LLMError:
    kind = _class_for(status, detail)
    said = f": {_presentable(detail.message)}" if detail is not None and detail.message else ""
    return kind(
        f"{provider} answered {status}{said}",
        provider=provider,
        status=status,
        retry_after_s=retry_after_s,
        should_retry=should_retry,
    )


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Both providers may say it in a header, and their own clients obey. `None`: it is not said."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def _class_for(status: int, detail: ErrorDetail | None) -> type[LLMError]:
    hundred = status // 100
    if hundred == _CALLERS_FAULT and detail is not None and detail.kinds & _SPENT:
        return QuotaExhausted
    # Redirects and unknown successes are nothing that the providers' APIs promise.
    return _BY_STATUS.get(status) or _BY_HUNDRED.get(hundred, MalformedAnswer)


_MAX_MESSAGE_CHARS = 200
_PRIVATE = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "(link)"),
    (re.compile(r"\b(sk|key|pk|rk)-[\w*-]{3,}", re.IGNORECASE), "(key)"),
    (re.compile(r"\bbearer\s+\S+", re.IGNORECASE), "(key)"),
)


def _presentable(message: str) -> str:
    """Providers repeat addresses and pieces of keys in their messages; ours end up with users."""
    text = message[: 10 * _MAX_MESSAGE_CHARS]
    for pattern, replacement in _PRIVATE:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    if len(text) > _MAX_MESSAGE_CHARS:
        text = text[: _MAX_MESSAGE_CHARS - 1] + "…"
    return text
