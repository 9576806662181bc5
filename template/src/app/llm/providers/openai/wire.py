"""OpenAI's chat completions as they travel: requests, answers and stream chunks.

Requests are exact. Of what comes back, each type names only what the converter reads, and says how
much it needs it (`app.llm.providers.boundary`): servers that are compatible with OpenAI leave out,
null and retype nearly every other field.
"""

from typing import Annotated, Literal, NotRequired, Required

from pydantic import BeforeValidator, JsonValue
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.boundary import (
    Count,
    FirstItem,
    Given,
    Identifier,
    Items,
    Lax,
    adapter,
    as_count,
    is_empty,
)

# What a request holds.


class TextPart(TypedDict):
    type: Literal["text"]
    text: str


class ImageURL(TypedDict):
    url: str
    detail: NotRequired[Literal["auto", "low", "high"]]


class ImagePart(TypedDict):
    type: Literal["image_url"]
    image_url: ImageURL


RequestPart = TextPart | ImagePart


class CalledFunction(TypedDict):
    name: str
    arguments: str


class RequestToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: CalledFunction


class RequestMessage(TypedDict):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[RequestPart] | None
    tool_calls: NotRequired[list[RequestToolCall]]
    tool_call_id: NotRequired[str]


class RequestFunction(TypedDict):
    name: str
    description: NotRequired[str]
    parameters: dict[str, JsonValue]
    strict: NotRequired[Literal[True]]


class RequestTool(TypedDict):
    type: Literal["function"]
    function: RequestFunction


class ChosenFunction(TypedDict):
    name: str


class ChosenTool(TypedDict):
    type: Literal["function"]
    function: ChosenFunction


RequestToolChoice = Literal["auto", "none", "required"] | ChosenTool


class StreamOptions(TypedDict):
    include_usage: bool


class JSONSchema(TypedDict):
    name: str
    schema: dict[str, JsonValue]
    strict: bool


class SchemaFormat(TypedDict):
    type: Literal["json_schema"]
    json_schema: JSONSchema


class ObjectFormat(TypedDict):
    type: Literal["json_object"]


ResponseFormat = SchemaFormat | ObjectFormat


class CompletionRequest(TypedDict):
    model: str
    messages: list[RequestMessage]
    max_completion_tokens: NotRequired[int]
    max_tokens: NotRequired[int]
    temperature: NotRequired[float]
    top_p: NotRequired[float]
    stop: NotRequired[list[str]]
    tools: NotRequired[list[RequestTool]]
    tool_choice: NotRequired[RequestToolChoice]
    parallel_tool_calls: NotRequired[bool]
    stream: NotRequired[Literal[True]]
    stream_options: NotRequired[StreamOptions]
    response_format: NotRequired[ResponseFormat]


# What comes back.

_TEXT_TYPES = {"text", "output_text"}


class Part(TypedDict, total=False):
    """Thinking, references and other parts are no text. Only their type is kept."""

    type: Lax[str]
    text: Given[str]
    refusal: Given[str]


def _parts(content: object) -> object:
    if is_empty(content):
        return None
    if isinstance(content, dict):
        content = [content]
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: object) -> object:
    """Servers that leave the type out send text."""
    if part is None:
        return {}
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if not isinstance(kind, str) or not kind:
        kind = "refusal" if part.get("refusal") else "text"
    if kind in _TEXT_TYPES:
        return {"type": "text", "text": part.get("text")}
    if kind == "refusal":
        return {"type": kind, "refusal": part.get("refusal")}
    return {"type": kind}


# A text runs no function.
Content = str | Annotated[list[Part] | None, BeforeValidator(_parts)]


class PromptTokensDetails(TypedDict, total=False):
    cached_tokens: Count
    cache_write_tokens: Count


class CompletionTokensDetails(TypedDict, total=False):
    reasoning_tokens: Count


class Usage(TypedDict, total=False):
    """Some gateways count in Anthropic's words."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    input_tokens: Count
    output_tokens: Count
    prompt_cache_hit_tokens: Count  # DeepSeek's
    prompt_tokens_details: Lax[PromptTokensDetails]
    completion_tokens_details: Lax[CompletionTokensDetails]


class FunctionCall(TypedDict, total=False):
    """`arguments` is JSON as text, or, from some servers, the object itself."""

    name: Given[str]
    arguments: Given[str | dict[str, JsonValue]]


class ToolCall(TypedDict, total=False):
    """A whole call, or a piece of one in a stream."""

    index: Count
    id: Identifier
    function: Given[FunctionCall]


class AnswerMessage(TypedDict, total=False):
    content: Content
    refusal: Given[str]
    tool_calls: Items[ToolCall]
    function_call: Given[FunctionCall]  # what tool calls were before there were tools


class Choice(TypedDict, total=False):
    message: Required[AnswerMessage]
    finish_reason: Lax[str]
    usage: Lax[Usage]  # Moonshot's


class Completion(TypedDict, total=False):
    id: Identifier
    model: Lax[str]
    choices: FirstItem[Choice]
    usage: Lax[Usage]
    service_tier: Lax[str]
    prompt_filter_results: Lax[list[JsonValue]]  # Azure's


# What a stream is made of.


class Delta(AnswerMessage, total=False):
    """The thinking is never part of the answer. Compatible servers have four names for it."""

    reasoning_content: JsonValue
    reasoning: JsonValue
    reasoning_details: JsonValue
    thinking: JsonValue


class ChunkChoice(TypedDict, total=False):
    """A server that does not stream sends its whole answer, with a `message`."""

    index: Count
    delta: Given[Delta]
    message: Given[Delta]
    finish_reason: Lax[str]
    usage: Lax[Usage]


class GroqExtras(TypedDict, total=False):
    usage: Lax[Usage]


def _first_choice_only(value: object) -> object:
    """Drop the pieces of further choices: requests ask for one, and only the first is read."""
    if not isinstance(value, list):
        return value
    return [item for item in value if not (isinstance(item, dict) and as_count(item.get("index")))]


class Chunk(TypedDict, total=False):
    id: Identifier
    model: Lax[str]
    choices: Annotated[Items[ChunkChoice], BeforeValidator(_first_choice_only)]
    usage: Lax[Usage]
    service_tier: Lax[str]
    x_groq: Lax[GroqExtras]
    prompt_filter_results: Lax[list[JsonValue]]


COMPLETION = adapter(Completion)
CHUNK = adapter(Chunk)
USAGE = adapter(Usage)
