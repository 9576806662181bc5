"""What the service asks a model and what it gets back, whoever the provider is.

Inside the service data is a frozen dataclass. `LLMResponse` is a Pydantic model because it crosses
two boundaries: a provider's answer becomes one, and one becomes our own answer.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model. `None` means: what the settings say for that provider."""

    messages: tuple[Message, ...]
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


class Usage(BaseModel):
    model_config = ConfigDict(frozen=True)

    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    total_tokens: NonNegativeInt


class LLMResponse(BaseModel):
    """A model's answer. `cost_usd` is null when the price of the model is not known."""

    model_config = ConfigDict(frozen=True)

    id: str
    provider: str
    model: str
    content: str
    finish_reason: FinishReason
    usage: Usage
    cost_usd: NonNegativeFloat | None = None
    cached: bool = False
    latency_ms: NonNegativeFloat = 0.0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of text of a streamed answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a stream: the whole answer, as `complete` would have returned it."""

    response: LLMResponse


StreamEvent = TextDelta | Done
