from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


class Message(BaseModel):
    role: str
    content: str


class Body(BaseModel):
    messages: list[Message]
    stream: bool = False


def application(ask: Callable[..., Awaitable[Any]]) -> FastAPI:
    """An endpoint in front of an SDK. Its answers and chunks have to be Pydantic models."""
    app = FastAPI()

    @app.post("/v1/chat", response_model=None)
    async def chat(body: Body) -> dict[str, object] | Response:
        answer = await ask([message.model_dump() for message in body.messages], stream=body.stream)
        if body.stream:
            return StreamingResponse(_events(answer), media_type="text/event-stream")
        whole: dict[str, object] = answer.model_dump()
        return whole

    return app


async def _events(chunks: AsyncIterator[BaseModel]) -> AsyncIterator[str]:
    async for chunk in chunks:
        yield f"data: {chunk.model_dump_json()}\n\n"
    yield "data: [DONE]\n\n"
