"""The requests to models and their answers, equal for all providers.

Inside the service, data is a frozen dataclass. `LLMResponse` is a Pydantic model because it crosses
two boundaries: it is built from a provider's answer, and it is serialised as our own answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import not_
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeFloat

from app.llm.costs import Receipt
from app.llm.costs import Usage as Usage  # noqa: PLC0414 - exported here too, beside its answer

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]


ImageDetail = Literal["auto", "low", "high"]


class ToolCall(BaseModel):
    """A tool call that the model requests. `arguments` is the JSON text that the model wrote."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: an https URL, which the provider fetches, or a data URL with base64.

    `detail` is a hint of OpenAI's API; other providers do not get it.
    """

    url: str
    detail: ImageDetail | None = None

    @property
    def is_data(self) -> bool:
        return self.url.startswith("data:")


Content = str | tuple[TextPart | ImagePart, ...]


def joined_text(parts: tuple[TextPart | ImagePart, ...]) -> Content:
    """Parts that are all text are one text, because not every server accepts parts."""
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return "\n".join(texts) if len(texts) == len(parts) else parts


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    An assistant's message may have `tool_calls`. A message with the role `tool` has the result of
    the call `tool_call_id`.
    """

    role: Role
    content: Content
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text without the images."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[ImagePart, ...]:
        if isinstance(self.content, str):
            return ()
        return tuple([part for part in self.content if isinstance(part, ImagePart)])


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call. `parameters` is the JSON schema of its arguments.

    `strict` asks the provider to guarantee that the arguments follow the schema.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, JsonValue] = field(default_factory=dict, hash=False)
    strict: bool = False


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The choice of one tool that the model has to call."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """The JSON schema of an answer, with a name that providers pass on to the model.

    An empty schema asks for any JSON object. `strict` asks the provider to guarantee the schema.
    """

    name: str
    schema: Mapping[str, JsonValue] = field(hash=False)
    strict: bool = True


ANY_OBJECT = AnswerSchema("json_object", {}, strict=False)


class PromptVersion(BaseModel):
    """The name and version of the prompt that a request is rendered from."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model. `None` means the setting for the provider.

    `tenant` is the id of the tenant that asks; it is never sent to a provider. Cached answers are
    not shared between tenants. `fresh` bypasses cached answers. The attempts of the call record
    their duration and cost in `receipt`. `prompt` is for logs and spans; it is never sent either.

    The keys of cached answers and of shared calls are made from the `repr` of a request. So it has
    all fields that can change the answer, and neither `prompt` nor `receipt`.
    """

    messages: tuple[Message, ...]
    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    answer_schema: AnswerSchema | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tenant: str | None = None
    fresh: bool = False
    prompt: PromptVersion | None = field(default=None, compare=False, repr=False)
    receipt: Receipt | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRequest(ChatRequest):
    """A request with the settings of one provider filled in. `temperature` may still be the model's."""

    model: str  # pyright: ignore[reportGeneralTypeIssues]  # it wants a default here
    max_tokens: int  # pyright: ignore[reportGeneralTypeIssues]


class LLMResponse(BaseModel):
    """A model's answer.

    `cost_usd` is null if the price of the model is unknown. It is 0 if `cached` is true, because
    an earlier or simultaneous identical request has paid for the answer.

    `tool_calls`, `stale` and `provider_request_id` (the provider's id of the call, for its support)
    appear in JSON only if they have a value. A stale answer is an expired answer from the cache,
    returned because no provider could answer.
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
    stale: bool = Field(default=False, exclude_if=not_)
    latency_ms: NonNegativeFloat = 0.0
    provider_request_id: str | None = Field(default=None, exclude_if=not_)
    tool_calls: tuple[ToolCall, ...] = Field(default=(), exclude_if=not_)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the text of a streamed answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a stream, with the whole answer as `complete` would have returned it."""

    response: LLMResponse


StreamEvent = TextDelta | Done


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed. `None` as the model means the configured one."""

    texts: tuple[str, ...]
    model: str | None = None
    receipt: Receipt | None = field(default=None, compare=False, repr=False)


# Clients return an `array` of 32-bit numbers: 10,000 vectors take 60 MB, and as tuples of Python's
# floats they would take 500 MB.
Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector per text, in the same order, all finite and of the same length."""

    model: str
    vectors: tuple[Vector, ...]
    prompt_tokens: int

    @property
    def usage(self) -> Usage:
        tokens = self.prompt_tokens
        return Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)
