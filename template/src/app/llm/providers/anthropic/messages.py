"""Messages and tools of a request in Anthropic's format. No I/O."""

import re
from collections.abc import Sequence

from pydantic import JsonValue
from pydantic_core import from_json

from app.llm.providers.anthropic import wire
from app.llm.types import ChatRequest, ImagePart, Message, NamedTool, TextPart, Tool

# Ids of other providers may have other characters, and Anthropic refuses these.
_NOT_IN_IDS = re.compile("[^A-Za-z0-9_-]")


def messages_to_wire(messages: Sequence[Message]) -> list[wire.RequestMessage]:
    """The messages without those of the system.

    Anthropic has no role `tool`: the results of all calls of a turn are blocks of one user's message.
    """
    sent: list[wire.RequestMessage] = []
    results: list[wire.RequestBlock] = []
    for message in messages:
        if message.role == "tool":
            if not results:
                sent.append({"role": "user", "content": results})
            results.append(_tool_result(message))
        elif message.role != "system":
            results = []
            sent.append({"role": message.role, "content": _content(message)})
    return sent


def _tool_result(message: Message) -> wire.ToolResult:
    return {
        "type": "tool_result",
        "tool_use_id": _id(message.tool_call_id or ""),
        "content": message.text,
    }


def _content(message: Message) -> str | list[wire.RequestBlock]:
    if isinstance(message.content, str) and not message.tool_calls:
        return message.content
    content = message.content
    parts = (TextPart(content),) if isinstance(content, str) else content
    blocks: list[wire.RequestBlock] = []
    for part in parts:
        if isinstance(part, ImagePart):
            blocks.append({"type": "image", "source": _source(part)})
        elif part.text.strip():  # an empty block of text is refused
            blocks.append({"type": "text", "text": part.text})
    for call in message.tool_calls:
        arguments = _arguments(call.arguments)
        blocks.append(
            {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": arguments}
        )
    return blocks


def _source(image: ImagePart) -> wire.ImageSource:
    if not image.is_data:
        return {"type": "url", "url": image.url}
    head, _, data = image.url.partition(",")
    media_type = head.removeprefix("data:").partition(";")[0]
    return {"type": "base64", "media_type": media_type, "data": data}


def _arguments(text: str) -> dict[str, JsonValue]:
    """The arguments as an object. Text that is none stays visible: the model wrote it."""
    try:
        value: JsonValue = from_json(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"invalid_json": text}


def _id(call_id: str) -> str:
    return _NOT_IN_IDS.sub("_", call_id)


def tool_to_wire(tool: Tool, *, strict: bool) -> wire.RequestTool:
    """`strict`: whether the server knows the field of that name."""
    schema = {"type": "object", **tool.parameters}
    sent: wire.RequestTool = {"name": tool.name, "input_schema": schema}
    if tool.description:
        sent["description"] = tool.description
    if tool.strict and strict:
        sent["strict"] = True
    return sent


def tool_choice_to_wire(request: ChatRequest) -> wire.RequestToolChoice | None:
    """The choice, which also says whether the model may call several tools at once."""
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        sent: wire.RequestToolChoice = {"type": "tool", "name": choice.name}
    elif choice is None and request.parallel_tool_calls is not False:
        return None
    else:
        sent = {"type": "any" if choice == "required" else choice or "auto"}
    if request.parallel_tool_calls is False and choice != "none":
        sent["disable_parallel_tool_use"] = True
    return sent
