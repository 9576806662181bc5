"""Messages and tools of a request in OpenAI's format. No I/O."""

from collections.abc import Sequence

from app.llm.providers.openai import wire
from app.llm.types import Content, ImagePart, Message, NamedTool, TextPart, Tool, ToolChoice


def messages_to_wire(messages: Sequence[Message]) -> list[wire.RequestMessage]:
    return [_message(message) for message in messages]


def _message(message: Message) -> wire.RequestMessage:
    sent: wire.RequestMessage = {"role": message.role, "content": _content(message.content)}
    if message.tool_calls:
        sent["content"] = sent["content"] or None  # servers refuse an empty text beside calls
        sent["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        sent["tool_call_id"] = message.tool_call_id
    return sent


def _content(content: Content) -> str | list[wire.RequestPart]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: TextPart | ImagePart) -> wire.RequestPart:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    image: wire.ImageURL = {"url": part.url}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def tool_to_wire(tool: Tool, *, strict: bool) -> wire.RequestTool:
    """`strict`: whether the server knows the field of that name."""
    function: wire.RequestFunction = {"name": tool.name, "parameters": dict(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    if tool.strict and strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def tool_choice_to_wire(choice: ToolChoice) -> wire.RequestToolChoice:
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return choice
