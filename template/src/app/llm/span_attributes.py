"""Attributes of the spans of calls to models, by OpenTelemetry's GenAI conventions."""

import orjson

from app.errors import LLMError
from app.llm.call_record import PREVIEW_CHARS
from app.llm.types import (
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    LLMResponse,
    PromptVersion,
    Usage,
)
from app.telemetry import conventions as semconv
from app.telemetry.redaction import preview
from app.telemetry.tracing import Attributes


def request_attributes(
    vendor: str, request: ChatRequest | EmbeddingRequest, *, stream: bool
) -> Attributes:
    known = {semconv.PROVIDER: vendor, semconv.REQUEST_MODEL: request.model}
    if isinstance(request, EmbeddingRequest):
        return {semconv.OPERATION: "embeddings", **known, semconv.TEXTS: len(request.texts)}
    return {
        semconv.OPERATION: "chat",
        **known,
        semconv.REQUEST_TEMPERATURE: request.temperature,
        semconv.REQUEST_MAX_TOKENS: request.max_tokens,
        semconv.REQUEST_STREAM: stream or None,  # the conventions leave it out of other calls
        **_prompt(request.prompt),
    }


def _prompt(prompt: PromptVersion | None) -> Attributes:
    if prompt is None:
        return {}
    return {semconv.PROMPT_NAME: prompt.name, semconv.PROMPT_VERSION: str(prompt.version)}


def answer_attributes(answer: LLMResponse | Embeddings) -> Attributes:
    """Tokens of a cached answer were counted when the cache stored it."""
    if isinstance(answer, Embeddings):
        return {
            semconv.RESPONSE_MODEL: answer.model,
            semconv.INPUT_TOKENS: answer.prompt_tokens,
        }
    return {
        semconv.RESPONSE_ID: answer.id,
        semconv.RESPONSE_MODEL: answer.model,
        semconv.RESPONSE_FINISH_REASONS: [answer.finish_reason],
        **({} if answer.cached else _tokens(answer.usage)),
        semconv.PROVIDER_REQUEST_ID: answer.provider_request_id,
        semconv.COST_USD: answer.cost_usd,
        semconv.CACHED: answer.cached,
    }


def failure_attributes(error: LLMError) -> Attributes:
    return {
        semconv.HTTP_STATUS: error.status,
        semconv.PROVIDER_REQUEST_ID: error.provider_request_id,
    }


def prompt_preview(request: ChatRequest) -> Attributes:
    return {semconv.INPUT_MESSAGES: _messages(request.messages[-1].role, request.messages[-1].text)}


def answer_preview(answer: LLMResponse | Embeddings) -> Attributes:
    if isinstance(answer, Embeddings):
        return {}
    return {semconv.OUTPUT_MESSAGES: _messages("assistant", answer.content)}


def _tokens(usage: Usage) -> Attributes:
    """Cache and reasoning tokens are part of the input and output tokens."""
    return {
        semconv.INPUT_TOKENS: usage.prompt_tokens,
        semconv.OUTPUT_TOKENS: usage.completion_tokens,
        semconv.CACHE_READ_TOKENS: usage.cached_prompt_tokens or None,
        semconv.CACHE_WRITE_TOKENS: usage.cache_write_tokens or None,
        semconv.REASONING_TOKENS: usage.reasoning_tokens or None,
    }


def _messages(role: str, content: str) -> str:
    part = {"type": "text", "content": _beginning(content)}
    return orjson.dumps([{"role": role, "parts": [part]}]).decode()


def _beginning(text: str) -> str:
    """JSON cannot hold half a surrogate pair."""
    return preview(text, PREVIEW_CHARS).encode("utf-8", "backslashreplace").decode()
