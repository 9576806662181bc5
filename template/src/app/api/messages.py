"""The messages of a request: how they are validated, converted and checked as a whole.

A message is validated as the kind that its role names, so an error names the field that is wrong and
not the alternatives. The checks of the whole hold for every request, whichever interface it came
through.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import (
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.api.inputs import (
    MAX_TEXT_CHARS,
    TOO_MANY_MARKS,
    RequestBody,
    TextOfMany,
    by_shape,
    normalize_texts,
)
from app.api.parts import ImagePartBody, PartBodies, TextPartBodies, TextPartBody
from app.api.tools import CallID, ToolCallBodies
from app.llm.types import (
    ChatRequest,
    Content,
    ImagePart,
    Message,
    NamedTool,
    Role,
    TextPart,
    ToolCall,
    joined_text,
)

MAX_IMAGES = 20

_AnyText = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]

UserContent = Annotated[TextOfMany | PartBodies, by_shape(list, PartBodies, TextOfMany)]
TextContent = Annotated[TextOfMany | TextPartBodies, by_shape(list, TextPartBodies, TextOfMany)]
ResultContent = Annotated[_AnyText | TextPartBodies, by_shape(list, TextPartBodies, _AnyText)]


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
    content: ResultContent | None = None
    tool_calls: ToolCallBodies


class ToolMessage(RequestBody):
    """The result of a tool call. An error of the tool is a result too."""

    role: Literal["tool"]
    tool_call_id: CallID
    content: ResultContent


class _AnyMessage(RequestBody):
    model_config = ConfigDict(extra="ignore", strict=True)

    role: Role


_ANY = TypeAdapter(_AnyMessage)
_CALLING = TypeAdapter(CallingAssistantMessage)
_BY_ROLE: Mapping[str, TypeAdapter[Any]] = {
    "system": TypeAdapter(SystemMessage),
    "user": TypeAdapter(UserMessage),
    "assistant": TypeAdapter(PlainAssistantMessage),
    "tool": TypeAdapter(ToolMessage),
}


def _of_its_role(value: object, _handler: ValidatorFunctionWrapHandler) -> object:
    role = value.get("role") if isinstance(value, dict) else None
    if not isinstance(role, str) or role not in _BY_ROLE:
        return _ANY.validate_python(value)
    if role == "assistant" and isinstance(value, dict) and "tool_calls" in value:
        return _CALLING.validate_python(value)
    return _BY_ROLE[role].validate_python(value)


MessageBody = Annotated[
    SystemMessage | UserMessage | PlainAssistantMessage | CallingAssistantMessage | ToolMessage,
    WrapValidator(_of_its_role),
]


def message_of(body: MessageBody) -> Message:
    content = body.content if isinstance(body.content, str) else _content(body.content)
    if isinstance(body, CallingAssistantMessage):
        calls = tuple(ToolCall(**call.model_dump()) for call in body.tool_calls)
        return Message(body.role, content, calls)
    call_id = body.tool_call_id if isinstance(body, ToolMessage) else None
    return Message(body.role, content, tool_call_id=call_id)


def _content(parts: Sequence[TextPartBody | ImagePartBody] | None) -> Content:
    return joined_text(
        tuple(
            (
                TextPart(part.text)
                if isinstance(part, TextPartBody)
                else ImagePart(part.url, part.detail)
            )
            for part in parts or ()
        )
    )


async def checked(request: ChatRequest) -> ChatRequest:
    """The request with normalized texts. Raises `RequestValidationError` if a part does not fit."""
    if (fault := fault_in(request)) is not None:
        raise _refused(("body", *fault.field), fault.reason)
    texts: list[str] = []
    for message in request.messages:
        texts += [message.content] if isinstance(message.content, str) else _texts(message.content)
    normalized = await normalize_texts(texts)
    if normalized == texts:
        return request
    following = iter(normalized)
    messages = [
        _with_texts(index, message, following) for index, message in enumerate(request.messages)
    ]
    return replace(request, messages=tuple(messages))


def _texts(parts: Sequence[TextPart | ImagePart]) -> list[str]:
    return [part.text for part in parts if isinstance(part, TextPart)]


def _with_texts(index: int, message: Message, texts: Iterator[str | None]) -> Message:
    def following() -> str:
        if (text := next(texts)) is None:
            raise _refused(("body", "messages", index, "content"), TOO_MANY_MARKS, "too_many_marks")
        return text

    if isinstance(message.content, str):
        return replace(message, content=following())
    parts = (
        TextPart(following()) if isinstance(part, TextPart) else part for part in message.content
    )
    return replace(message, content=tuple(parts))


def _refused(
    loc: tuple[str | int, ...], reason: str, kind: str = "value_error"
) -> RequestValidationError:
    return RequestValidationError([{"loc": loc, "msg": reason, "type": kind}])


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a request, and in which field of it."""

    field: tuple[str | int, ...]
    reason: str


def fault_in(request: ChatRequest) -> Fault | None:
    """The first fault that providers would refuse, each in its own way.

    Most requests have no calls, no parts and no tools, so these are looked for first.
    """
    messages, fault = request.messages, None
    if any(message.tool_calls or message.role == "tool" for message in messages):
        fault = _calls_fault(messages)
    if fault is None and any(not isinstance(message.content, str) for message in messages):
        fault = _images_fault(messages)
    if fault is None and (request.tools or request.tool_choice is not None):
        fault = _tools_fault(request)
    return fault


def _calls_fault(messages: Sequence[Message]) -> Fault | None:
    """Each tool call needs its result, directly after the message with the calls."""
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        place: tuple[str | int, ...] = ("messages", index)
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                reason = "must be the id of a tool call in the assistant's message before"
                return Fault((*place, "tool_call_id"), reason)
            open_calls.remove(message.tool_call_id)
        elif open_calls:
            return Fault((*place, "role"), _missing(open_calls))
        else:
            open_calls = [call.id for call in message.tool_calls]
    return Fault(("messages",), _missing(open_calls)) if open_calls else None


def _missing(open_calls: Sequence[str]) -> str:
    return f"a message with the role 'tool' must follow for the call {open_calls[0]!r}"


def _images_fault(messages: Sequence[Message]) -> Fault | None:
    if sum(len(message.images) for message in messages) > MAX_IMAGES:
        return Fault(("messages",), f"a request may have {MAX_IMAGES} images")
    return None


def _tools_fault(request: ChatRequest) -> Fault | None:
    names = [tool.name for tool in request.tools]
    choice = request.tool_choice
    if len(set(names)) < len(names):
        return Fault(("tools",), "the names of tools must differ")
    if isinstance(choice, NamedTool) and choice.name not in names:
        return Fault(("tool_choice",), "must name one of the tools")
    if choice == "required" and not names:
        return Fault(("tool_choice",), "'required' needs tools")
    return None
