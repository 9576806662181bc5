"""The reason why the model stopped, in our words."""

from collections.abc import Mapping

import structlog

from app.errors import ProviderUnavailableError
from app.llm.types import FinishReason

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
