"""What the service asks a model and what it gets back, whoever the provider is.

Inside the service data is a frozen dataclass. `LLMResponse` is a Pydantic model because it crosses
two boundaries: a provider's answer becomes one, and one becomes our own answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeFloat, NonNegativeInt

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """The JSON schema that an answer has to follow, under a name that providers show to the model."""

    name: str
    schema: Mapping[str, JsonValue] = field(hash=False)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model. `None` means: what the settings say for that provider.

    `tenant` is on whose behalf it is asked; it never leaves the service. No tenant's answers are
    served to another from the cache. `fresh` wants a new answer, whatever the cache has.
    """

    messages: tuple[Message, ...]
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    answer_schema: AnswerSchema | None = None
    tenant: str | None = None
    fresh: bool = False


class Usage(BaseModel):
    """Tokens as the provider counts them.

    Those that it read from its own prompt cache, or wrote to it, are part of `prompt_tokens` and
    have other prices. In JSON they appear only where there are some.
    """

    model_config = ConfigDict(frozen=True)

    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    total_tokens: NonNegativeInt
    cached_prompt_tokens: NonNegativeInt = Field(default=0, exclude_if=lambda count: not count)
    cache_write_tokens: NonNegativeInt = Field(default=0, exclude_if=lambda count: not count)


class ToolCall(BaseModel):
    """What a model wants to be done before it goes on. `arguments` is JSON as the model wrote it."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    arguments: str


class LLMResponse(BaseModel):
    """A model's answer.

    `cost_usd` is null when the price of the model is not known, and 0 with `cached`: such an answer
    was paid for before, or by somebody who asked the same at the same time.

    `tool_calls` and `stale` appear in JSON only where there is something to say. A stale answer is
    an old one from the cache, given because no provider could answer.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    provider: str
    model: str
    content: str
    finish_reason: FinishReason
    usage: Usage
    cost_usd: NonNegativeFloat | None = None
    cached: bool = False
    stale: bool = Field(default=False, exclude_if=lambda stale: not stale)
    latency_ms: NonNegativeFloat = 0.0
    tool_calls: tuple[ToolCall, ...] = Field(default=(), exclude_if=lambda calls: not calls)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of text of a streamed answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a stream: the whole answer, as `complete` would have returned it."""

    response: LLMResponse


StreamEvent = TextDelta | Done


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts whose meaning is wanted as vectors. `None`: the model that the settings name."""

    texts: tuple[str, ...]
    model: str | None = None


# Providers give an `array` of 32-bit numbers: 10,000 vectors as tuples of Python's floats would
# take 500 MB, and not 60.
Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector per text, in their order, all of the same length and finite."""

    model: str
    vectors: tuple[Vector, ...]
    prompt_tokens: int
