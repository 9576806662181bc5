"""Anthropic's messages as they travel: requests, answers and stream events.

Requests are exact. Of what comes back, each type names only what the converter reads, and says how
much it needs it (`app.llm.providers.boundary`). Blocks, deltas and events of another kind keep nothing
but their type and are passed over, as Anthropic's versioning policy asks of a client.
"""

from typing import Annotated, Literal, NotRequired, Required

from pydantic import BeforeValidator, JsonValue
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.anthropic.kinds import block, blocks, delta, event
from app.llm.providers.boundary import Count, Given, Identifier, Lax, adapter

# What a request holds.


class RequestText(TypedDict):
    type: Literal["text"]
    text: str


class Base64Source(TypedDict):
    type: Literal["base64"]
    media_type: str
    data: str


class URLSource(TypedDict):
    type: Literal["url"]
    url: str


ImageSource = Base64Source | URLSource


class Image(TypedDict):
    type: Literal["image"]
    source: ImageSource


class ToolUse(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, JsonValue]


class ToolResult(TypedDict):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str


RequestBlock = RequestText | Image | ToolUse | ToolResult


class RequestMessage(TypedDict):
    role: Literal["user", "assistant"]
    content: str | list[RequestBlock]


class RequestTool(TypedDict):
    name: str
    description: NotRequired[str]
    input_schema: dict[str, JsonValue]
    strict: NotRequired[Literal[True]]


class RequestToolChoice(TypedDict):
    type: Literal["auto", "any", "tool", "none"]
    name: NotRequired[str]
    disable_parallel_tool_use: NotRequired[Literal[True]]


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
    top_p: NotRequired[float]
    stop_sequences: NotRequired[list[str]]
    tools: NotRequired[list[RequestTool]]
    tool_choice: NotRequired[RequestToolChoice]
    stream: NotRequired[Literal[True]]
    output_config: NotRequired[OutputConfig]


# What comes back.


class CacheCreation(TypedDict, total=False):
    """What was written to the cache, by how long it is kept."""

    ephemeral_5m_input_tokens: Count
    ephemeral_1h_input_tokens: Count


class Usage(TypedDict, total=False):
    """Totals since the beginning. In a stream, what is left out has not changed."""

    input_tokens: Count
    output_tokens: Count
    cache_creation_input_tokens: Count
    cache_read_input_tokens: Count
    cache_creation: Lax[CacheCreation]
    service_tier: Lax[str]


class Block(TypedDict, total=False):
    """`input` is an object; gateways also send it as text."""

    type: Lax[str]
    text: Given[str]
    id: Identifier
    name: Given[str]
    input: Given[str | dict[str, JsonValue]]


ContentBlock = Annotated[Block, BeforeValidator(block)]


class Message(TypedDict, total=False):
    id: Identifier
    model: Lax[str]
    content: Required[Annotated[list[ContentBlock], BeforeValidator(blocks)]]
    stop_reason: Lax[str]
    usage: Lax[Usage]


# What a stream is made of.


class StartedMessage(TypedDict, total=False):
    id: Identifier
    model: Lax[str]
    content: Annotated[list[ContentBlock], BeforeValidator(blocks)]
    usage: Lax[Usage]


class Delta(TypedDict, total=False):
    """What a block grows by, or, at the end, why the model stopped."""

    type: Lax[str]
    text: Given[str]
    thinking: JsonValue  # never part of the answer, but it shows that the model is working
    partial_json: Given[str | dict[str, JsonValue]]
    stop_reason: Lax[str]


class StreamEvent(StartedMessage, total=False):
    """`delta` is a block's in `content_block_delta` and the message's in `message_delta`.

    The fields of a message are there when a server that does not stream sends its whole answer.
    """

    type: Lax[str]
    message: Given[StartedMessage]
    index: Count
    content_block: Given[ContentBlock]
    delta: Given[Annotated[Delta, BeforeValidator(delta)]]
    stop_reason: Lax[str]


MESSAGE = adapter(Message)
USAGE = adapter(Usage)
STREAM_EVENT = adapter(Annotated[StreamEvent, BeforeValidator(event)])
