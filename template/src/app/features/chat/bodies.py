"""The JSON bodies of `POST /v1/chat`, and the request that they become."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from app.api.conversation import checked, message_of, tool_choice_of, tool_of
from app.api.inputs import WHOLE, RequestBody
from app.api.messages import MAX_TOOLS, MessageBody, ToolBody, ToolChoiceBody
from app.llm.types import ChatRequest

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$")]


class ChatBody(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "Hello!"}]}]},
    )

    messages: list[MessageBody] = Field(
        min_length=1,
        max_length=200,
        description="The conversation so far. The last message must have the role `user` or `tool`. "
        "After an assistant's message with tool calls, each call needs a `tool` message.",
    )
    provider: Name | None = Field(
        default=None,
        description="The provider to call. By default the configured providers are tried in order, "
        "until one of them answers.",
    )
    model: Name | None = Field(
        default=None,
        description="A model of `provider`, or of the first configured provider if none is given. "
        "If that provider is down, the next provider answers with its own configured model; "
        "`provider` and `model` of the answer name it. To prevent this, set `provider`.",
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        le=2,
        allow_inf_nan=False,
        description="The sampling temperature. Higher values make the answer more random. Defaults "
        "to the service's setting, or else to the provider's default.",
    )
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        default=None,
        description="The maximum number of tokens to generate. Defaults to the service's setting.",
    )
    stream: bool = Field(
        default=False, description="Whether to send the answer as a stream of server-sent events."
    )
    tools: list[ToolBody] | None = Field(
        default=None,
        max_length=MAX_TOOLS,
        description="The tools that the model may call. The answer then has `tool_calls`.",
    )
    tool_choice: ToolChoiceBody | None = Field(
        default=None,
        description="Whether the model calls tools: `auto` (the default), `none`, `required`, or "
        "the tool that it has to call.",
    )
    parallel_tool_calls: bool | None = Field(
        default=None,
        description="Whether the model may call several tools in one answer. Defaults to the "
        "provider's default.",
    )
    cache: bool = Field(
        default=True,
        description="Whether the answer may come from the cache, or from an identical request in "
        "progress. If `false`, the model is always called, and its answer replaces the cached one.",
    )

    @field_validator("messages")
    @classmethod
    def _end_with_a_question(cls, messages: list[MessageBody]) -> list[MessageBody]:
        # Providers treat an unfinished answer differently; a fallback must not change the result.
        if messages[-1].role not in {"user", "tool"}:
            raise ValueError("the last message must have the role 'user' or 'tool'")
        return messages

    async def to_request(self, tenant: str | None) -> ChatRequest:
        request = ChatRequest(
            messages=tuple(message_of(message) for message in self.messages),
            provider=self.provider,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            tools=tuple(tool_of(tool) for tool in self.tools or ()),
            tool_choice=None if self.tool_choice is None else tool_choice_of(self.tool_choice),
            parallel_tool_calls=self.parallel_tool_calls,
            tenant=tenant,
            fresh=not self.cache,
        )
        return await checked(request)
