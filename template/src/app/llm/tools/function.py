"""A typed Python function as a tool: its description for the model, and its validated call."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.llm.tools.failures import InvalidArgumentsError
from app.llm.types import Tool
from app.validation import lines

Function = Callable[..., Awaitable[object]]

# Both providers accept these names.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_ERRORS = 5


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that a model may call. `None` means the bound of the policy."""

    tool: Tool
    timeout_s: float | None = None
    result_chars: int | None = None
    _adapter: TypeAdapter[Awaitable[object]] = field(kw_only=True, repr=False)

    @property
    def name(self) -> str:
        return self.tool.name

    def call(self, arguments: str) -> Awaitable[object]:
        """Call the function with the model's arguments, a JSON object; empty text is no arguments.

        Raises `InvalidArgumentsError` with the place and the reason of each error.
        """
        text = arguments.strip() or "{}"
        try:
            if text.startswith("["):  # Pydantic would accept it as positional arguments
                raise ValidationError.from_exception_data(self.name, [_NO_OBJECT])
            return self._adapter.validate_json(text)
        except ValidationError as error:
            raise InvalidArgumentsError("; ".join(lines(error)[:_MAX_ERRORS])) from error


_NO_OBJECT: InitErrorDetails = {
    "type": PydanticCustomError("no_object", "Arguments must be an object"),
    "input": None,
}


def function_tool(
    function: Function, *, timeout_s: float | None = None, result_chars: int | None = None
) -> FunctionTool:
    """Make a tool of an `async` function with a type for each parameter and a docstring.

    The schema comes from the signature, with `Annotated[…, Field(description=…)]` and defaults; the
    description is the docstring. The result may be text, or any value that Pydantic writes as JSON.

    Raises `TypeError` for a function that cannot be a tool, with the reason.
    """
    name, description = _name(function), _description(function)
    _check_signature(name, function)
    # Pydantic takes functions too: it validates the arguments, calls, and returns the coroutine.
    adapter = TypeAdapter(cast("type[Awaitable[object]]", function))
    schema: dict[str, JsonValue] = adapter.json_schema(schema_generator=_WithoutTitles)
    tool = Tool(name, description, schema)
    return FunctionTool(tool, timeout_s, result_chars, _adapter=adapter)


class _WithoutTitles(GenerateJsonSchema):
    """A title repeats the name of its parameter, and the model would be paid to read it."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - Pydantic's
        return False


def _name(function: Function) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    if not _NAME.fullmatch(name):
        raise TypeError(f"{name}: the name of a tool has 1 to 64 letters, digits, _ and -")
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} must be an async function")
    return name


def _description(function: Function) -> str:
    if description := inspect.getdoc(function):
        return description
    raise TypeError(f"{function.__name__} has no docstring: it tells the model what the tool does")


def _check_signature(name: str, function: Function) -> None:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _BY_NAME:
            raise TypeError(f"{name}: the model names its arguments, so {parameter} cannot be one")
        if parameter.annotation is parameter.empty:
            raise TypeError(f"{name}: the parameter {parameter.name} has no type")


_BY_NAME = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
