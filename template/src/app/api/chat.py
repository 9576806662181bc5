"""`POST /v1/chat`: one question, answered in one piece or as a stream of events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from app.api.documentation import EVENT_STREAM, problems
from app.api.event_stream import EventStream, frame
from app.api.listening import to_nobody, while_listening
from app.api.problems import describe, stopped
from app.api.state import Door
from app.api.tenant import Tenant
from app.api.text import Text
from app.llm.types import ChatRequest, LLMResponse, Message, Role, StreamEvent, TextDelta

router = APIRouter(tags=["chat"])

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$")]


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Role
    content: Text


class ChatBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "Hello!"}]}]},
    )

    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    provider: Name | None = None
    model: Name | None = None
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    stream: bool = False

    @field_validator("messages")
    @classmethod
    def _end_with_a_question(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        # Providers differ in what they do with an unfinished answer; a fallback must not.
        if messages[-1].role != "user":
            raise ValueError("the last message must have the role 'user'")
        return messages

    def to_request(self, tenant: str | None) -> ChatRequest:
        return ChatRequest(
            messages=tuple(Message(m.role, m.content) for m in self.messages),
            provider=self.provider,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            tenant=tenant,
        )


@router.post(
    "/v1/chat",
    summary="Ask a model",
    response_model=LLMResponse,
    responses={200: EVENT_STREAM, **problems(413, 422, 429, 500, 502, 503, 504)},
)
async def chat(
    body: ChatBody, door: Door, request: Request, tenant: Tenant = None
) -> LLMResponse | Response:
    question = body.to_request(tenant)
    if body.stream:
        text: list[str] = []
        frames = _frames(door.chat.stream(question), text, debug=door.debug)
        return EventStream(frames, last_words=lambda: _cut_off(text))
    return await while_listening(request, door.chat.complete(question)) or to_nobody()


async def _frames(
    events: AsyncGenerator[StreamEvent, None], text: list[str], *, debug: bool
) -> AsyncGenerator[bytes, None]:
    """Keep in `text` what was sent, for whoever has to say that there will be no more."""
    async with aclosing(events):
        try:
            async for event in events:
                if isinstance(event, TextDelta):
                    text.append(event.text)
                    yield frame("delta", orjson.dumps({"text": event.text}))
                else:
                    yield frame("done", event.response.model_dump_json().encode())
        except Exception as error:
            if not text:
                raise  # nothing was sent: the answer can still have its real status
            problem = describe(error, debug=debug).model_copy(update={"text": "".join(text)})
            yield frame("error", problem.as_json())


def _cut_off(text: list[str]) -> bytes:
    return frame("error", stopped().model_copy(update={"text": "".join(text)}).as_json())
