"""Anthropic's request format. A plain string becomes a list of one text block, as at Anthropic."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from mock_api.validation import Checked


def _blocks(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


class Block(Checked):
    """The fields that the mock reads of a block: text, image, document, tool_use and others."""

    type: str
    text: str = ""
    tool_use_id: str | None = None
    input: dict[str, JsonValue] | None = None
    content: Annotated["list[Block]", BeforeValidator(_blocks)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "text" and not self.text:
            raise ValueError("text content blocks must be non-empty")
        if self.type == "tool_result" and not self.tool_use_id:
            raise ValueError("tool_use_id: Field required")
        return self

    @property
    def plain(self) -> str:
        return "\n".join([self.text, *[block.plain for block in self.content or ()]]).strip()


Blocks = Annotated[list[Block], BeforeValidator(_blocks)]


class Message(Checked):
    role: Literal["user", "assistant", "system"]
    content: Blocks

    @property
    def text(self) -> str:
        return "\n".join(block.plain for block in self.content)


class Tool(Checked):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    input_schema: dict[str, JsonValue] | None = None  # None for Anthropic's own tools


class ToolChoice(Checked):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "tool" and not self.name:
            raise ValueError("name: Field required")
        return self


class JsonFormat(Checked):
    type: Literal["json_schema"]
    schema_: dict[str, JsonValue] = Field(alias="schema")


class OutputConfig(Checked):
    format: JsonFormat | None = None


class MessagesRequest(Checked):
    model: str = Field(min_length=1)
    messages: list[Message] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    system: Blocks | None = None
    stream: bool = False
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        choice = self.tool_choice
        if choice is not None and choice.type in {"any", "tool"} and not self.tools:
            raise ValueError("tool_choice may only be specified while providing tools")
        return self
