"""`POST /v1/chat`: answers a conversation, as one JSON object or as a stream of events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field, StringConstraints, field_validator
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.api.event_stream import MAX_WRITE_BYTES, EventStream
from app.api.events import Event, as_json, described
from app.api.inputs import WHOLE, RequestBody, Tenant
from app.api.json_route import JSONRoute
from app.api.messages import MessageBody, checked, message_of
from app.api.openapi import problems
from app.api.problems import Problem, describe, stopped
from app.api.services import ServicesDep
from app.api.tools import MAX_TOOLS, ToolBody, ToolChoiceBody, tool_choice_of, tool_of
from app.llm.model import open_stream
from app.llm.opened_stream import StreamToOpen
from app.llm.types import ChatRequest, LLMResponse, TextDelta, ToolCall
from app.telemetry.redaction import StreamedText


class ChatDelta(TypedDict):
    """The next piece of the answer's text."""

    text: str


DELTA = Event("delta", ChatDelta, orjson.dumps)
TOOL_CALL = Event("tool_call", ToolCall, as_json)
DONE = Event("done", LLMResponse, as_json)
ERROR = Event("error", Problem, Problem.as_json)

EVENT_STREAM = {
    "description": "The answer. With `stream`, server-sent events: any number of `delta` events, "
    "a `tool_call` event for each tool call, then one `done` event with the whole answer. If the "
    "answer breaks off, an `error` event with the text so far ends the stream instead. Comments "
    "(lines that begin with a colon) keep the connection open while the model is silent.",
    "content": {
        "text/event-stream": {
            **described(DELTA, TOOL_CALL, DONE, ERROR),
            "example": 'event: delta\ndata: {"text":"Hello"}\n\nevent: done\ndata: {"id":"…"}\n\n',
        }
    },
}


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
            messages=tuple(map(message_of, self.messages)),
            provider=self.provider,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            tools=tuple(map(tool_of, self.tools or ())),
            tool_choice=None if self.tool_choice is None else tool_choice_of(self.tool_choice),
            parallel_tool_calls=self.parallel_tool_calls,
            tenant=tenant,
            fresh=not self.cache,
        )
        return await checked(request)


router = APIRouter(tags=["chat"], route_class=JSONRoute)


@router.post(
    "/v1/chat",
    summary="Create a chat answer",
    response_model=LLMResponse,
    responses={200: EVENT_STREAM, **problems(402, 403, 404, 413, 422, 429, 500, 502, 503, 504)},
)
async def chat(body: ChatBody, services: ServicesDep, tenant: Tenant) -> LLMResponse | Response:
    """Creates a model's answer to the given conversation."""
    question = await body.to_request(tenant)
    if body.stream:
        text: list[str] = []
        events = StreamToOpen(partial(open_stream, services.chat, question))
        frames = _frames(events, text, debug=services.debug)
        return EventStream(frames, final_frame=lambda: _cut_off(text))
    return await services.chat.complete(question)


async def _frames(
    events: StreamToOpen, text: list[str], *, debug: bool
) -> AsyncGenerator[bytes, None]:
    """Encode the events as frames, and collect the text that was sent, for a final error event."""
    masked = StreamedText()
    ready = b""
    async with aclosing(events):
        try:
            async for event in events:
                done = None if isinstance(event, TextDelta) else event.response
                piece = masked.feed(event.text) if isinstance(event, TextDelta) else masked.finish()
                if piece:
                    text.append(piece)
                    ready += DELTA.frame({"text": piece})
                if len(ready) < MAX_WRITE_BYTES and events.has_text_ready():
                    continue
                if ready:
                    yield ready
                    ready = b""
                if done is not None:
                    for call in done.tool_calls:
                        yield TOOL_CALL.frame(call)
                    yield DONE.frame(done)
        except Exception as error:
            if not text:
                raise  # nothing was sent yet, so the answer can still have the status of the error
            problem = describe(error, debug=debug).model_copy(update={"text": "".join(text)})
            yield ready + ERROR.frame(problem)


def _cut_off(text: list[str]) -> bytes:
    return ERROR.frame(stopped().model_copy(update={"text": "".join(text)}))
