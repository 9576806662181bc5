"""What a span tells of a call to a model, in the words of OpenTelemetry's GenAI conventions."""

import orjson

from app.llm.providers.policy import vendor
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse
from app.llm.wrappers.call import PREVIEW_CHARS
from app.telemetry import conventions as named
from app.telemetry.tracing import Facts


def question(provider: str, request: ChatRequest, *, stream: bool) -> Facts:
    return {
        named.OPERATION: "chat",
        named.PROVIDER: vendor(provider),
        named.REQUEST_MODEL: request.model,
        named.REQUEST_TEMPERATURE: request.temperature,
        named.REQUEST_MAX_TOKENS: request.max_tokens,
        named.REQUEST_STREAM: stream or None,  # only where it is one, say the conventions
    }


def answer(response: LLMResponse) -> Facts:
    """Tokens that were paid for when the answer got into the cache are not counted again."""
    fresh = not response.cached
    return {
        named.RESPONSE_ID: response.id,
        named.RESPONSE_MODEL: response.model,
        named.RESPONSE_FINISH_REASONS: [response.finish_reason],
        named.INPUT_TOKENS: response.usage.prompt_tokens if fresh else None,
        named.OUTPUT_TOKENS: response.usage.completion_tokens if fresh else None,
        named.COST_USD: response.cost_usd,
        named.CACHED: response.cached,
    }


def texts(provider: str, request: EmbeddingRequest) -> Facts:
    return {
        named.OPERATION: "embeddings",
        named.PROVIDER: vendor(provider),
        named.REQUEST_MODEL: request.model,
        named.TEXTS: len(request.texts),
    }


def vectors(embeddings: Embeddings) -> Facts:
    return {
        named.RESPONSE_MODEL: embeddings.model,
        named.INPUT_TOKENS: embeddings.prompt_tokens,
    }


def question_preview(request: ChatRequest) -> Facts:
    return {
        named.INPUT_MESSAGES: _messages(request.messages[-1].role, request.messages[-1].content)
    }


def answer_preview(response: LLMResponse) -> Facts:
    return {named.OUTPUT_MESSAGES: _messages("assistant", response.content)}


def _messages(role: str, content: str) -> str:
    part = {"type": "text", "content": _beginning(content)}
    return orjson.dumps([{"role": role, "parts": [part]}]).decode()


def _beginning(text: str) -> str:
    """Half a surrogate pair cannot be in JSON."""
    return text[:PREVIEW_CHARS].encode("utf-8", "backslashreplace").decode()
