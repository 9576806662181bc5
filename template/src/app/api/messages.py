"""Messages and tools in a request: text, images, tool calls and their results.

A value is validated as the kind that it claims to be (its role, its type), so an error names the
field that is wrong and not the alternatives. OpenAI's nested forms of tools, calls and images are
accepted too: clients have them at hand.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.api.inputs import RequestBody, TextOfMany
from app.llm.types import Role

MAX_PARTS = 100
MAX_TOOLS = 128
MAX_URL_CHARS = 2_048
MAX_IMAGE_BYTES = 1_500_000  # as base64, they fit into a body
MAX_SCHEMA_DEPTH = 50  # Python's JSON functions fail at about 1,000
_MAX_TEXT_CHARS = 100_000

_STRICT = ConfigDict(strict=True)
_DATA_URL = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")
# Languages of regular expressions differ in what `\s` is. This is all of it, and the control characters.
_INVISIBLE = r"\x00-\x20\x7f-\xa0\s\ufeff"
_HTTPS_URL = re.compile(rf"https://[^{_INVISIBLE}/?#]+[^{_INVISIBLE}]*")
_BASE64_RATIO = 4 / 3
_IMAGE_URL: dict[str, JsonValue] = {"pattern": f"^({_HTTPS_URL.pattern}|{_DATA_URL.pattern})$"}

CallID = Annotated[str, StringConstraints(pattern=r"^[^\s\x85\ufeff]{1,128}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def _image_url(url: str) -> str:
    if url.startswith("data:"):
        if len(url) > MAX_IMAGE_BYTES * _BASE64_RATIO:
            raise ValueError(f"a data URL may have {MAX_IMAGE_BYTES} bytes; longer: an https URL")
        if not _DATA_URL.fullmatch(url):
            raise ValueError("must be a PNG, JPEG, GIF or WebP image in base64")
    elif len(url) > MAX_URL_CHARS or not _HTTPS_URL.fullmatch(url):
        raise ValueError(f"must be an https URL of {MAX_URL_CHARS} characters, or a data URL")
    return url


def _shallow(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    level: list[JsonValue] = [schema]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [inner for value in level for inner in _members(value)]
        if not level:
            return schema
    raise ValueError(f"may be nested {MAX_SCHEMA_DEPTH} levels deep")


def _members(value: JsonValue) -> Sequence[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _object_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if schema.get("type", "object") != "object":
        raise ValueError("must be the JSON schema of an object")
    return _shallow(schema)


JSONSchema = Annotated[dict[str, JsonValue], AfterValidator(_shallow)]
ObjectSchema = Annotated[
    dict[str, JsonValue],
    AfterValidator(_object_schema),
    Field(json_schema_extra={"properties": {"type": {"const": "object"}}}),
]
ImageURL = Annotated[str, AfterValidator(_image_url), Field(json_schema_extra=_IMAGE_URL)]


def _flat(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """OpenAI's `{"type": "function", "function": {…}}` without its nesting."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        rest = {k: v for k, v in value.items() if k not in {"type", "function"}}
        return {**rest, **value["function"]}
    return value


def _flat_image(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict) and value.get("type") == "image_url":
        image = value.get("image_url")
        return {"type": "image", **(image if isinstance(image, dict) else {"url": image})}
    return value


class TextPartBody(RequestBody):
    type: Literal["text"]
    text: TextOfMany


class ImagePartBody(RequestBody):
    type: Literal["image"]
    url: ImageURL = Field(
        description="An https URL, which the provider fetches, or a data URL with base64: PNG, "
        f"JPEG, GIF or WebP, at most {MAX_IMAGE_BYTES} bytes."
    )
    detail: Literal["auto", "low", "high"] | None = Field(
        default=None, description="The resolution for the model. Only OpenAI's API has this."
    )


class ToolCallBody(RequestBody):
    """A tool call of an earlier answer, as it was received."""

    id: CallID
    name: ToolName
    arguments: Annotated[str, StringConstraints(max_length=_MAX_TEXT_CHARS)]


def by_kind(adapters: Mapping[str, TypeAdapter[Any]], kind: Callable[[Any], str]) -> WrapValidator:
    """Validate a value as the one alternative that `kind` names."""

    def validate(value: Any, _handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401
        return adapters[kind(value)].validate_python(value)

    return WrapValidator(validate)


def adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any type
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    return TypeAdapter(kind, config=None if is_model else _STRICT)


def _member(value: object, name: str) -> str | None:
    member = value.get(name) if isinstance(value, dict) else None
    return member if isinstance(member, str) else None


def _part_kind(value: object) -> str:
    return "image" if _member(value, "type") == "image" else "text"


PartBody = Annotated[
    TextPartBody | ImagePartBody,
    by_kind({"text": adapter(TextPartBody), "image": adapter(ImagePartBody)}, _part_kind),
    BeforeValidator(_flat_image),
]
_Parts = Annotated[list[PartBody], Field(min_length=1, max_length=MAX_PARTS)]
_TextParts = Annotated[list[TextPartBody], Field(min_length=1, max_length=MAX_PARTS)]
_AnyText = Annotated[str, StringConstraints(max_length=_MAX_TEXT_CHARS)]


def _kind(value: object) -> str:
    return "parts" if isinstance(value, list) else "text"


def _text_or(parts: Any, text: Any = TextOfMany) -> WrapValidator:  # noqa: ANN401 - any type
    return by_kind({"text": adapter(text), "parts": adapter(parts)}, _kind)


UserContent = Annotated[TextOfMany | _Parts, _text_or(_Parts)]
TextContent = Annotated[TextOfMany | _TextParts, _text_or(_TextParts)]
ResultContent = Annotated[_AnyText | _TextParts, _text_or(_TextParts, _AnyText)]


class SystemMessage(RequestBody):
    role: Literal["system"]
    content: TextContent


class UserMessage(RequestBody):
    role: Literal["user"]
    content: UserContent


class PlainAssistantMessage(RequestBody):
    role: Literal["assistant"]
    content: TextContent


class CallingAssistantMessage(RequestBody):
    """An assistant's message with tool calls. It may have no text."""

    role: Literal["assistant"]
    content: Annotated[_AnyText | _TextParts, _text_or(_TextParts, _AnyText)] | None = None
    tool_calls: list[Annotated[ToolCallBody, BeforeValidator(_flat)]] = Field(
        min_length=1, max_length=MAX_TOOLS
    )


class ToolMessage(RequestBody):
    """The result of a tool call. An error of the tool is a result too."""

    role: Literal["tool"]
    tool_call_id: CallID
    content: ResultContent


class _AnyMessage(RequestBody):
    model_config = ConfigDict(extra="ignore", strict=True)

    role: Role


def _message_kind(value: object) -> str:
    role = _member(value, "role")
    if role == "assistant" and isinstance(value, dict) and "tool_calls" in value:
        return "calling"
    return role if role in _MESSAGES else "unknown"


_MESSAGES = {
    "system": adapter(SystemMessage),
    "user": adapter(UserMessage),
    "assistant": adapter(PlainAssistantMessage),
    "calling": adapter(CallingAssistantMessage),
    "tool": adapter(ToolMessage),
    "unknown": adapter(_AnyMessage),
}
MessageBody = Annotated[
    SystemMessage | UserMessage | PlainAssistantMessage | CallingAssistantMessage | ToolMessage,
    by_kind(_MESSAGES, _message_kind),
]


class FunctionTool(RequestBody):
    name: ToolName
    description: str = Field(default="", max_length=10_000)
    parameters: ObjectSchema = Field(
        default_factory=dict, description="The JSON schema of the arguments: an object."
    )
    strict: bool | None = Field(
        default=None, description="Whether the provider has to guarantee the schema."
    )


class ToolToCall(RequestBody):
    name: ToolName


ToolBody = Annotated[FunctionTool, BeforeValidator(_flat)]
ToolChoiceMode = Literal["auto", "none", "required"]
ToolChoiceBody = Annotated[
    ToolChoiceMode | ToolToCall,
    by_kind(
        {"mode": adapter(ToolChoiceMode), "tool": adapter(ToolToCall)},
        lambda value: "tool" if isinstance(value, dict) else "mode",
    ),
    BeforeValidator(_flat),
]
