"""Tools in a request: the tools that a model may call, the choice of one, and its calls.

OpenAI's nested forms are accepted too: clients have them at hand.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StringConstraints

from app.api.inputs import MAX_TEXT_CHARS, RequestBody, by_shape
from app.llm.types import NamedTool, Tool, ToolChoice

MAX_TOOLS = 128
MAX_SCHEMA_DEPTH = 50  # Python's JSON functions fail at about 1,000

CallID = Annotated[str, StringConstraints(pattern=r"^[^\s\x85\ufeff]{1,128}$")]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


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


def _flat(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """OpenAI's `{"type": "function", "function": {…}}` without its nesting."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        rest = {k: v for k, v in value.items() if k not in {"type", "function"}}
        return {**rest, **value["function"]}
    return value


class ToolCallBody(RequestBody):
    """A tool call of an earlier answer, as it was received."""

    id: CallID
    name: ToolName
    arguments: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]


ToolCallBodies = Annotated[
    list[Annotated[ToolCallBody, BeforeValidator(_flat)]],
    Field(min_length=1, max_length=MAX_TOOLS),
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
    by_shape(dict, ToolToCall, ToolChoiceMode),
    BeforeValidator(_flat),
]


def tool_of(body: FunctionTool) -> Tool:
    return Tool(body.name, body.description, body.parameters, bool(body.strict))


def tool_choice_of(body: ToolChoiceMode | ToolToCall) -> ToolChoice:
    return NamedTool(body.name) if isinstance(body, ToolToCall) else body
