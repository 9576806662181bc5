"""OpenAI's requests, as far as the service reads them.

Unknown fields of a request are ignored, as OpenAI-compatible servers do. A known field that asks for
an effect that the service does not have is refused.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from app.api.inputs import WHOLE, by_shape
from app.api.openai.rules import FIELDS_OF_ROLES, SCHEMA_IF_NAMED, with_one
from app.api.parts import MAX_PARTS, ImageURL
from app.api.tools import MAX_TOOLS, CallID, JSONSchema, ObjectSchema, ToolName

MAX_MESSAGES = 1_000
MAX_INPUTS = 2_048
MAX_INPUT_CHARS = 32_768
_MAX_TEXT_CHARS = 100_000

Text = Annotated[str, StringConstraints(max_length=_MAX_TEXT_CHARS)]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,191}$")]


class Read(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class ImageURLIn(Read):
    url: ImageURL
    detail: Literal["auto", "low", "high"] | None = None


class TextPartIn(Read):
    type: Literal["text"]
    text: Text


class ImagePartIn(Read):
    type: Literal["image_url"]
    image_url: ImageURLIn


_TEXT, _IMAGE = TypeAdapter(TextPartIn), TypeAdapter(ImagePartIn)


def _of_its_type(value: object, _handler: ValidatorFunctionWrapHandler) -> object:
    is_image = isinstance(value, dict) and value.get("type") == "image_url"
    return (_IMAGE if is_image else _TEXT).validate_python(value)


PartIn = Annotated[TextPartIn | ImagePartIn, WrapValidator(_of_its_type)]
_Parts = Annotated[list[PartIn], Field(min_length=1, max_length=MAX_PARTS)]
ContentIn = Annotated[Text | _Parts, by_shape(list, _Parts, Text)]


class FunctionCallIn(Read):
    name: ToolName
    arguments: Text


class ToolCallIn(Read):
    id: CallID
    type: Literal["function"] = "function"
    function: FunctionCallIn


class MessageIn(Read):
    model_config = ConfigDict(json_schema_extra=FIELDS_OF_ROLES)

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: ContentIn | None = None
    refusal: Text | None = None
    tool_calls: list[ToolCallIn] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_call_id: CallID | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        has_calls = self.role == "assistant" and bool(self.tool_calls or self.refusal)
        if self.content is None and not has_calls:
            raise ValueError("content is missing")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message with the role 'tool' needs a tool_call_id")
        if self.role != "user" and any(part.type == "image_url" for part in self.parts):
            raise ValueError("only a message with the role 'user' may have images")
        return self

    @property
    def parts(self) -> list[TextPartIn | ImagePartIn]:
        return self.content if isinstance(self.content, list) else []


class FunctionIn(Read):
    name: ToolName
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    parameters: ObjectSchema | None = None
    strict: bool | None = None


class ToolIn(Read):
    type: Literal["function"]
    function: FunctionIn


class ChosenFunction(Read):
    name: ToolName


class ChosenTool(Read):
    type: Literal["function"]
    function: ChosenFunction


Mode = Literal["auto", "none", "required"]
ToolChoiceIn = Annotated[Mode | ChosenTool, by_shape(dict, ChosenTool, Mode)]


class SchemaIn(Read):
    name: ToolName
    schema_: JSONSchema = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class ResponseFormatIn(Read):
    model_config = ConfigDict(json_schema_extra=SCHEMA_IF_NAMED)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaIn | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing")
        return self


class StreamOptionsIn(Read):
    include_usage: bool | None = None


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


MaxTokens = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Stops = Annotated[
    list[Stop], BeforeValidator(_listed), Field(max_length=4, json_schema_extra=with_one)
]


class ChatCompletionIn(Read):
    """A request for a chat completion. Fields that are not listed are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]}]
        }
    )

    model: ModelName = Field(
        description="`auto`, `provider/model`, a provider, or a model: see `/openai/v1/models`."
    )
    messages: list[MessageIn] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: MaxTokens | None = None
    max_tokens: MaxTokens | None = Field(default=None, json_schema_extra={"deprecated": True})
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    n: Literal[1] | None = Field(default=None, description="The service gives one answer.")
    stop: Stops | None = None
    stream: bool | None = None
    stream_options: StreamOptionsIn | None = None
    tools: list[ToolIn] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: ToolChoiceIn | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormatIn | None = None

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class EmbeddingsIn(Read):
    """A request for embeddings. Fields that are not listed are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "auto", "input": "The Zugspitze"}]}
    )

    model: ModelName
    input: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=MAX_INPUT_CHARS)]],
        BeforeValidator(_listed),
    ] = Field(
        min_length=1,
        max_length=MAX_INPUTS,
        description="A text or a list of texts. Token numbers are not accepted.",
        json_schema_extra=with_one,
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: None = Field(
        default=None, description="Not supported: the vectors have the model's own length."
    )
