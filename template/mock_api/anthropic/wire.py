"""The types of Anthropic's answers."""

from typing import Literal, NotRequired, TypedDict

from mock_api.schemas import JsonObject

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class Error(TypedDict):
    type: str
    message: str


class ErrorBody(TypedDict):
    type: Literal["error"]
    error: Error
    request_id: str


class Usage(TypedDict):
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class TextBlock(TypedDict):
    type: Literal["text"]
    text: str


class ToolUseBlock(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: JsonObject


Block = TextBlock | ToolUseBlock


class Message(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Block]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: Usage


class MessageStart(TypedDict):
    type: Literal["message_start"]
    message: Message


class BlockStart(TypedDict):
    type: Literal["content_block_start"]
    index: int
    content_block: Block


class Ping(TypedDict):
    type: Literal["ping"]


class TextDelta(TypedDict):
    type: Literal["text_delta"]
    text: str


class InputJsonDelta(TypedDict):
    type: Literal["input_json_delta"]
    partial_json: str


class BlockDelta(TypedDict):
    type: Literal["content_block_delta"]
    index: int
    delta: TextDelta | InputJsonDelta


class BlockStop(TypedDict):
    type: Literal["content_block_stop"]
    index: int


class Stopped(TypedDict):
    stop_reason: StopReason
    stop_sequence: str | None


class FinalUsage(TypedDict):
    output_tokens: int
    input_tokens: NotRequired[int]


class MessageDelta(TypedDict):
    type: Literal["message_delta"]
    delta: Stopped
    usage: FinalUsage


class MessageStop(TypedDict):
    type: Literal["message_stop"]


Event = MessageStart | BlockStart | Ping | BlockDelta | BlockStop | MessageDelta | MessageStop


class Model(TypedDict):
    type: Literal["model"]
    id: str
    display_name: str
    created_at: str


class ModelList(TypedDict):
    data: list[Model]
    has_more: bool
    first_id: str
    last_id: str
