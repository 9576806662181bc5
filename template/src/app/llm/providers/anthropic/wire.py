"""Anthropic's messages as they travel: requests, answers, stream events, errors.

Blocks, deltas and events of a kind that did not exist when this was written are read as "other" and
passed over, as Anthropic's versioning policy asks of a client.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import (
    BeforeValidator,
    Discriminator,
    JsonValue,
    NonNegativeInt,
    Tag,
    TypeAdapter,
)
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.boundary import adapter

Other = Annotated[Literal["other"], BeforeValidator(lambda _: "other")]

# What a request holds.


class RequestMessage(TypedDict):
    role: Literal["user", "assistant"]
    content: str


class JSONSchemaFormat(TypedDict):
    type: Literal["json_schema"]
    schema: dict[str, JsonValue]


class OutputConfig(TypedDict):
    format: JSONSchemaFormat


class MessageRequest(TypedDict):
    model: str
    max_tokens: int
    messages: list[RequestMessage]
    system: NotRequired[str]
    temperature: NotRequired[float]
    stream: NotRequired[Literal[True]]
    output_config: NotRequired[OutputConfig]


# What comes back.

KnownStopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]
StopReason = KnownStopReason | str  # a new reason must not cost an answer that was paid for


class Usage(TypedDict):
    input_tokens: NonNegativeInt
    output_tokens: NonNegativeInt
    cache_creation_input_tokens: NotRequired[NonNegativeInt | None]
    cache_read_input_tokens: NotRequired[NonNegativeInt | None]


class TextBlock(TypedDict):
    type: Literal["text"]
    text: str


class ToolUseBlock(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, JsonValue]


class ThinkingBlock(TypedDict):
    type: Literal["thinking"]
    thinking: str
    signature: NotRequired[str]


class RedactedThinkingBlock(TypedDict):
    type: Literal["redacted_thinking"]
    data: str


class OtherBlock(TypedDict):
    type: Other


def _tag(value: object, known: frozenset[str]) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in known else "other"


_BLOCKS = frozenset({"text", "tool_use", "thinking", "redacted_thinking"})
ContentBlock = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[RedactedThinkingBlock, Tag("redacted_thinking")]
    | Annotated[OtherBlock, Tag("other")],
    Discriminator(lambda value: _tag(value, _BLOCKS)),
]


class _MessageParts(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[ContentBlock]
    stop_sequence: NotRequired[str | None]
    usage: Usage


class Message(_MessageParts):
    stop_reason: StopReason


# What a stream is made of.


class StartedMessage(_MessageParts):
    stop_reason: NotRequired[None]


class MessageStart(TypedDict):
    type: Literal["message_start"]
    message: StartedMessage


class ContentBlockStart(TypedDict):
    type: Literal["content_block_start"]
    index: int
    content_block: ContentBlock


class TextDelta(TypedDict):
    type: Literal["text_delta"]
    text: str


class InputJSONDelta(TypedDict):
    type: Literal["input_json_delta"]
    partial_json: str


class ThinkingDelta(TypedDict):
    type: Literal["thinking_delta"]
    thinking: str


class SignatureDelta(TypedDict):
    type: Literal["signature_delta"]
    signature: str


class OtherDelta(TypedDict):
    type: Other


_DELTAS = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta"})
BlockDelta = Annotated[
    Annotated[TextDelta, Tag("text_delta")]
    | Annotated[InputJSONDelta, Tag("input_json_delta")]
    | Annotated[ThinkingDelta, Tag("thinking_delta")]
    | Annotated[SignatureDelta, Tag("signature_delta")]
    | Annotated[OtherDelta, Tag("other")],
    Discriminator(lambda value: _tag(value, _DELTAS)),
]


class ContentBlockDelta(TypedDict):
    type: Literal["content_block_delta"]
    index: int
    delta: BlockDelta


class ContentBlockStop(TypedDict):
    type: Literal["content_block_stop"]
    index: int


class StopDelta(TypedDict):
    stop_reason: StopReason | None
    stop_sequence: NotRequired[str | None]


class UsageSoFar(TypedDict):
    """Totals since the beginning, not increments. What is left out has not changed."""

    output_tokens: NonNegativeInt
    input_tokens: NotRequired[NonNegativeInt | None]
    cache_creation_input_tokens: NotRequired[NonNegativeInt | None]
    cache_read_input_tokens: NotRequired[NonNegativeInt | None]


class MessageDelta(TypedDict):
    type: Literal["message_delta"]
    delta: StopDelta
    usage: UsageSoFar


class MessageStop(TypedDict):
    type: Literal["message_stop"]


class Ping(TypedDict):
    type: Literal["ping"]


# What went wrong.

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
]


class ErrorDetails(TypedDict, total=False):
    error_code: str | None


class ErrorObject(TypedDict):
    type: ErrorType | str
    message: str
    details: NotRequired[ErrorDetails | None]


class ErrorResponse(TypedDict):
    type: Literal["error"]
    error: ErrorObject
    request_id: NotRequired[str | None]


class OtherEvent(TypedDict):
    type: Other


_EVENTS = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    }
)
StreamEvent = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorResponse
    | OtherEvent
)
_TaggedEvent = Annotated[
    Annotated[MessageStart, Tag("message_start")]
    | Annotated[ContentBlockStart, Tag("content_block_start")]
    | Annotated[ContentBlockDelta, Tag("content_block_delta")]
    | Annotated[ContentBlockStop, Tag("content_block_stop")]
    | Annotated[MessageDelta, Tag("message_delta")]
    | Annotated[MessageStop, Tag("message_stop")]
    | Annotated[Ping, Tag("ping")]
    | Annotated[ErrorResponse, Tag("error")]
    | Annotated[OtherEvent, Tag("other")],
    Discriminator(lambda value: _tag(value, _EVENTS)),
]

MESSAGE = adapter(Message)
ERROR_RESPONSE = adapter(ErrorResponse)
STREAM_EVENT: TypeAdapter[StreamEvent] = adapter(_TaggedEvent)
