"""Converts an HTTP status, its headers and the error body to an error of `app.errors`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import (
    AuthenticationError,
    LLMError,
    MalformedAnswerError,
    ModelNotFoundError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
)
from app.llm.error_words import error_of, status_of
from app.telemetry.redaction import KNOWN, masked_text


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """The provider's description of its error: a message, and codes for programs.

    `status` is a number in the error itself, as in `{"error": {"code": 429}}`. `retry_after_s` is the
    pause that the error itself asks for.
    """

    message: str
    kinds: frozenset[str] = frozenset()
    status: int | None = None
    retry_after_s: float | None = None


_BY_STATUS: dict[int, type[LLMError]] = {
    401: AuthenticationError,
    402: QuotaExhaustedError,
    403: AuthenticationError,
    404: ModelNotFoundError,
    408: ProviderUnavailableError,
    409: ProviderUnavailableError,
    429: RateLimitError,
}
_CALLERS_FAULT, _PROVIDERS_FAULT = 4, 5
_BY_HUNDRED: dict[int, type[LLMError]] = {
    _CALLERS_FAULT: RequestRefusedError,
    _PROVIDERS_FAULT: ProviderUnavailableError,
}


def error_for(
    status: int,
    *,
    provider: str,
    detail: ErrorDetail | None = None,
    retry_after_s: float | None = None,
    should_retry: bool | None = None,
) -> LLMError:
    """The error of an HTTP answer with this status. A pause in a header precedes one in the body."""
    if retry_after_s is None and detail is not None:
        retry_after_s = detail.retry_after_s
    return _class_for(status, detail)(
        f"{provider} answered {status}{_said(detail)}",
        provider=provider,
        status=status,
        retry_after_s=retry_after_s,
        should_retry=should_retry,
    )


def reported_error(detail: ErrorDetail, *, provider: str) -> LLMError:
    """The error in an answer with status 200, or in an event of a stream.

    Its status is the number in the error, or the status that the same error has outside of a stream.
    Without either it counts as a failure of the provider.
    """
    status = detail.status or status_of(detail.kinds)
    kind = _class_for(status, detail)
    number = "an error" if detail.status is None else str(detail.status)
    return kind(
        f"{provider} reported {number}{_said(detail)}",
        provider=provider,
        status=status,
        retry_after_s=detail.retry_after_s,
    )


def _said(detail: ErrorDetail | None) -> str:
    return f": {_presentable(detail.message)}" if detail is not None and detail.message else ""


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """The header with which both providers allow or forbid a retry; `None` if it is missing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def _class_for(status: int | None, detail: ErrorDetail | None) -> type[LLMError]:
    hundred = _PROVIDERS_FAULT if status is None else status // 100
    if detail is not None and (status is None or hundred == _CALLERS_FAULT):
        told = error_of(status, detail.kinds, detail.message)
        if told is not None:
            return told
    # Redirects, and answers without a body or with a part of one.
    return _BY_STATUS.get(status or 0) or _BY_HUNDRED.get(hundred, MalformedAnswerError)


_MAX_MESSAGE_CHARS = 200
_PRIVATE = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "(link)"),
    (re.compile(r"\b(sk|key|pk|rk)-[\w*-]{3,}", re.IGNORECASE), "(key)"),
    (re.compile(r"\bbearer\s+\S+", re.IGNORECASE), "(key)"),
)


def _presentable(message: str) -> str:
    """Mask and shorten a provider's message, because users will see it.

    Providers repeat addresses and keys in their messages. The text is masked before it is cut,
    because half a key is not recognised.
    """
    text = KNOWN.hide(message)[: 10 * _MAX_MESSAGE_CHARS]
    for pattern, replacement in _PRIVATE:
        text = pattern.sub(replacement, text)
    text = " ".join(masked_text(text).split())
    if len(text) > _MAX_MESSAGE_CHARS:
        text = text[: _MAX_MESSAGE_CHARS - 1] + "…"
    return text
