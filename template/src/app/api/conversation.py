"""From the bodies of messages and tools to the service's own types, and the checks of the whole.

The checks hold for every request, whichever interface it came through.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fastapi.exceptions import RequestValidationError

from app.api.inputs import TOO_MANY_MARKS, normalize_texts
from app.api.messages import (
    CallingAssistantMessage,
    FunctionTool,
    ImagePartBody,
    MessageBody,
    TextPartBody,
    ToolMessage,
    ToolToCall,
)
from app.llm.types import (
    ChatRequest,
    Content,
    ImagePart,
    Message,
    NamedTool,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    joined_text,
)

MAX_IMAGES = 20


def message_of(body: MessageBody) -> Message:
    calls: tuple[ToolCall, ...] = ()
    call_id = None
    if isinstance(body, CallingAssistantMessage):
        calls = tuple(ToolCall(**call.model_dump()) for call in body.tool_calls)
    if isinstance(body, ToolMessage):
        call_id = body.tool_call_id
    return Message(body.role, _content(body.content), calls, call_id)


def _content(content: str | Sequence[TextPartBody | ImagePartBody] | None) -> Content:
    if content is None or isinstance(content, str):
        return content or ""
    parts = tuple(
        TextPart(part.text) if isinstance(part, TextPartBody) else ImagePart(part.url, part.detail)
        for part in content
    )
    return joined_text(parts)


def tool_of(body: FunctionTool) -> Tool:
    return Tool(body.name, body.description, body.parameters, bool(body.strict))


def tool_choice_of(body: Literal["auto", "none", "required"] | ToolToCall) -> ToolChoice:
    return NamedTool(body.name) if isinstance(body, ToolToCall) else body


async def checked(request: ChatRequest) -> ChatRequest:
    """The request with normalized texts. Raises `RequestValidationError` if a part does not fit."""
    if (fault := fault_in(request)) is not None:
        raise _refused(("body", *fault.field), fault.reason)
    texts = [text for message in request.messages for text in _texts(message)]
    normalized = await normalize_texts(texts)
    if normalized == texts:
        return request
    following = iter(normalized)
    messages = [
        _with_texts(index, message, following) for index, message in enumerate(request.messages)
    ]
    return replace(request, messages=tuple(messages))


def _texts(message: Message) -> list[str]:
    if isinstance(message.content, str):
        return [message.content]
    return [part.text for part in message.content if isinstance(part, TextPart)]


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
    """The first fault that providers would refuse, each in its own way."""
    return (
        _calls_fault(request.messages) or _images_fault(request.messages) or _tools_fault(request)
    )


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
    if sum([len(message.images) for message in messages]) > MAX_IMAGES:
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
