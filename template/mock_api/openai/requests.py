"""OpenAI's request format. A single value becomes a list, so that errors name plain fields."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from mock_api.validation import Checked


def _parts(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


def _list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _typed(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


def _inputs(value: object) -> object:
    """Convert a text, texts, tokens or lists of tokens to a list of inputs."""
    single = isinstance(value, list) and value and all(isinstance(item, int) for item in value)
    return [value] if single or isinstance(value, str) else value


def _input(value: object) -> object:
    tokens = isinstance(value, list) and all(type(item) is int for item in value)
    if not value or not (tokens or isinstance(value, str)):
        raise ValueError("input must be a non-empty string or a non-empty list of tokens")
    return value


class Part(Checked):
    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str = ""


class CalledFunction(Checked):
    name: str
    arguments: str


class ToolCall(Checked):
    id: str
    type: Literal["function"]
    function: CalledFunction


class Message(Checked):
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Annotated[list[Part], BeforeValidator(_parts)] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is required")
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("tool_call_id is required when the role is tool")
        return self

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.content or ())


class Function(Checked):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class Tool(Checked):
    type: Literal["function"]
    function: Function


class NamedFunction(Checked):
    name: str


class ToolChoice(Checked):
    type: Literal["auto", "none", "required", "function"]
    function: NamedFunction | None = None


class JsonSchema(Checked):
    name: str
    schema_: dict[str, JsonValue] = Field(alias="schema")


class ResponseFormat(Checked):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is required when the type is json_schema")
        return self


class StreamOptions(Checked):
    include_usage: bool | None = None


class ChatRequest(Checked):
    model: str = Field(min_length=1)
    messages: list[Message] = Field(min_length=1)
    n: Literal[1] | None = None  # the mock gives only one answer
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: Annotated[list[str], Field(max_length=4), BeforeValidator(_list)] | None = None
    tools: list[Tool] | None = Field(None, min_length=1, max_length=128)
    tool_choice: Annotated[ToolChoice, BeforeValidator(_typed)] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        if self.tool_choice is not None and self.tool_choice.type != "none" and not self.tools:
            raise ValueError("tool_choice is only allowed when tools are given")
        return self


class EmbeddingRequest(Checked):
    model: str = Field(min_length=1)
    input: Annotated[
        list[Annotated[str | list[int], BeforeValidator(_input)]],
        Field(min_length=1, max_length=2048),
        BeforeValidator(_inputs),
    ]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
