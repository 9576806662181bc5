"""OpenAI's chat completions as they travel: requests, answers, stream chunks, errors.

`total=False` and `NotRequired` mean what they say: OpenAI, or a server compatible with it, may
leave the field out.
"""

from typing import Annotated, Literal, NotRequired, final

from pydantic import Discriminator, JsonValue, NonNegativeInt, Tag, TypeAdapter
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.boundary import adapter

# What a request holds.


class RequestMessage(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: str


class StreamOptions(TypedDict):
    include_usage: bool


class JSONSchema(TypedDict):
    name: str
    schema: dict[str, JsonValue]
    strict: Literal[True]


class ResponseFormat(TypedDict):
    type: Literal["json_schema"]
    json_schema: JSONSchema


class CompletionRequest(TypedDict):
    model: str
    messages: list[RequestMessage]
    max_completion_tokens: NotRequired[int]
    temperature: NotRequired[float]
    stream: NotRequired[Literal[True]]
    stream_options: NotRequired[StreamOptions]
    response_format: NotRequired[ResponseFormat]


# What comes back.

KnownFinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
FinishReason = KnownFinishReason | str  # a new reason must not cost an answer that was paid for


class PromptTokensDetails(TypedDict, total=False):
    cached_tokens: int | None
    audio_tokens: int | None


class CompletionTokensDetails(TypedDict, total=False):
    reasoning_tokens: int | None
    audio_tokens: int | None
    accepted_prediction_tokens: int | None
    rejected_prediction_tokens: int | None


class Usage(TypedDict):
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    total_tokens: NonNegativeInt
    prompt_tokens_details: NotRequired[PromptTokensDetails | None]
    completion_tokens_details: NotRequired[CompletionTokensDetails | None]


class FunctionCall(TypedDict):
    name: str
    arguments: str


class ToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: FunctionCall


class AnswerMessage(TypedDict):
    role: Literal["assistant"]
    content: str | None
    refusal: NotRequired[str | None]
    tool_calls: NotRequired[list[ToolCall] | None]
    function_call: NotRequired[FunctionCall | None]  # what tool calls were before there were tools


class Choice(TypedDict):
    index: int
    message: AnswerMessage
    finish_reason: FinishReason


class Completion(TypedDict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    prompt_filter_results: NotRequired[list[JsonValue] | None]  # Azure's
    system_fingerprint: NotRequired[str | None]
    service_tier: NotRequired[str | None]


# What a stream is made of.


class FunctionCallDelta(TypedDict, total=False):
    name: str | None
    arguments: str | None


class ToolCallDelta(TypedDict):
    index: int
    id: NotRequired[str | None]
    type: NotRequired[Literal["function"] | None]
    function: NotRequired[FunctionCallDelta | None]


class Delta(TypedDict, total=False):
    role: Literal["assistant"] | None
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCallDelta] | None
    function_call: FunctionCallDelta | None


class ChunkChoice(TypedDict):
    index: int
    delta: NotRequired[Delta]  # Azure's filter reports on text that was sent before
    finish_reason: NotRequired[FinishReason | None]


@final
class Chunk(TypedDict):
    id: str
    object: Literal["chat.completion.chunk", ""]  # empty in what Azure's filter adds
    created: int
    model: str
    choices: list[ChunkChoice]
    prompt_filter_results: NotRequired[list[JsonValue] | None]
    usage: NotRequired[Usage | None]
    system_fingerprint: NotRequired[str | None]
    service_tier: NotRequired[str | None]


# What went wrong.


class ErrorObject(TypedDict):
    message: str
    type: NotRequired[str | None]
    code: NotRequired[str | int | None]
    param: NotRequired[str | None]


@final
class ErrorResponse(TypedDict):
    error: ErrorObject


def _chunk_or_error(value: object) -> Literal["chunk", "error"]:
    return "error" if isinstance(value, dict) and value.get("error") else "chunk"


StreamItem = Annotated[
    Annotated[Chunk, Tag("chunk")] | Annotated[ErrorResponse, Tag("error")],
    Discriminator(_chunk_or_error),
]

COMPLETION = adapter(Completion)
ERROR_RESPONSE = adapter(ErrorResponse)
STREAM_ITEM: TypeAdapter[Chunk | ErrorResponse] = adapter(StreamItem)
