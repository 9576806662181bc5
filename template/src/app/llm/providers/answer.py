"""The parts that every answer has: its id, the reason why the model stopped, and the tokens."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from uuid import uuid4

import orjson
import structlog

from app.errors import ProviderUnavailableError
from app.llm.types import FinishReason, Usage
from app.llm.usage import BrokenOff, Receipt

_log = structlog.get_logger(__name__)

# Reasons that compatible servers use besides those of OpenAI and Anthropic, in lower case.
_OTHERS: dict[str, FinishReason] = {
    "eos": "stop",  # Together, TGI
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",  # Cohere
    "completed": "stop",
    "max_tokens": "length",  # Gemini, Cohere
    "max_output_tokens": "length",
    "model_length": "length",  # Mistral
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "safety": "content_filter",  # Gemini
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "sensitive": "content_filter",  # Zhipu
    "refusal": "refusal",
}
# OpenRouter, Mistral: the model did not stop, it failed.
_FAILED = {"error", "network_error"}


def finish_reason(
    reason: str | None,
    known: Mapping[str, FinishReason],
    provider: str,
    *,
    calls_tools: bool = False,
) -> FinishReason:
    """The reason in our words. One that is not known becomes "length".

    It is the one of our words that does not promise a complete answer: such an answer, which was
    paid for, is passed on, but neither cached nor taken for whole.

    Some servers leave the reason out of an answer in one piece. Its JSON is complete, so nothing was
    lost on the way, and a server that cuts an answer at a limit reports it. A stream has no such sign:
    there the reason is the end, and is never made up.
    """
    if not reason:
        return "tool_calls" if calls_tools else "stop"
    word = reason.strip().lower()
    if word in _FAILED:
        raise ProviderUnavailableError(f"{provider} failed while it answered", provider=provider)
    ours = known.get(word) or _OTHERS.get(word)
    if ours is None:
        _log.warning("llm.unknown_finish_reason", provider=provider, reason=reason[:80])
        return "length"
    return ours


_STANDARD_TIERS = {None, "", "auto", "default", "standard"}


def counted(
    provider: str,
    *,
    prompt: int | None,
    completion: int | None,
    total: int | None = None,
    cached: int | None = None,
    written: int | None = None,
    written_5m: int | None = None,
    written_1h: int | None = None,
    reasoning: int | None = None,
    service_tier: str | None = None,
) -> Usage:
    """Complete what is missing from what is known. All zeros, and one warning, when nothing is.

    A price is made of the prompt's and the answer's tokens, so a total alone is completed to a
    usage without a price.
    """
    if not (prompt or completion or total):
        _log.warning("llm.usage_missing", provider=provider)
    total = total or 0
    if prompt is None:
        prompt = 0 if completion is None else max(total - completion, 0)
    if completion is None:
        completion = max(total - prompt, 0) if prompt else 0
    cached = min(cached or 0, prompt)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=max(total, prompt + completion),
        cached_prompt_tokens=cached,
        cache_write_tokens=min(written or 0, prompt - cached),
        cache_write_5m_tokens=written_5m or 0,
        cache_write_1h_tokens=written_1h or 0,
        reasoning_tokens=min(reasoning or 0, completion),
        service_tier=None if service_tier in _STANDARD_TIERS else service_tier,
    )


def counts_anything(usage: Mapping[str, object]) -> bool:
    return any(isinstance(count, int) and count for count in usage.values())


def note_usage(
    body: bytes, read_usage: Callable[[object], Usage | None], receipt: Receipt | None
) -> None:
    """Note on the receipt what a malformed answer costs all the same."""
    if receipt is not None:
        with suppress(ValueError, KeyError, TypeError):
            usage = read_usage(orjson.loads(body)["usage"])
            receipt.broken_off = BrokenOff(usage, final=True)


def own_id() -> str:
    """The id of an answer that has none: callers use it as a key, so it is never empty."""
    return f"generated-{uuid4().hex}"
