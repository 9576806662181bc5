"""`POST /v1/chat`: answers a conversation, as one JSON object or as a stream of events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from fastapi import APIRouter, Request, Response

from app.api.disconnect import client_closed, until_disconnect
from app.api.event_stream import EventStream
from app.api.inputs import Tenant
from app.api.openapi import problems
from app.api.problems import describe, stopped
from app.api.services import services_of
from app.features.chat.bodies import ChatBody
from app.features.chat.events import DELTA, DONE, ERROR, EVENT_STREAM, TOOL_CALL
from app.llm.model import open_stream
from app.llm.opened_stream import Events, StreamToOpen
from app.llm.types import LLMResponse, TextDelta
from app.telemetry.known_secrets import StreamedText

router = APIRouter(tags=["chat"])


@router.post(
    "/v1/chat",
    summary="Create a chat answer",
    response_model=LLMResponse,
    responses={200: EVENT_STREAM, **problems(402, 403, 404, 413, 422, 429, 500, 502, 503, 504)},
)
async def chat(body: ChatBody, request: Request, tenant: Tenant) -> LLMResponse | Response:
    """Creates a model's answer to the given conversation."""
    # Not `ServicesDep`: to resolve one more dependency, FastAPI takes 45 Python calls.
    services = services_of(request.app)
    question = await body.to_request(tenant)
    if body.stream:
        text: list[str] = []
        events = StreamToOpen(partial(open_stream, services.chat, question))
        frames = _frames(events, text, debug=services.debug)
        return EventStream(frames, final_frame=lambda: _cut_off(text))
    return await until_disconnect(request, services.chat.complete(question)) or client_closed()


async def _frames(events: Events, text: list[str], *, debug: bool) -> AsyncGenerator[bytes, None]:
    """Encode the events as frames, and collect the text that was sent, for a final error event."""
    masked = StreamedText()
    async with aclosing(events):
        try:
            async for event in events:
                done = None if isinstance(event, TextDelta) else event.response
                piece = masked.feed(event.text) if isinstance(event, TextDelta) else masked.finish()
                if piece:
                    text.append(piece)
                    yield DELTA.frame({"text": piece})
                if done is not None:
                    for call in done.tool_calls:
                        yield TOOL_CALL.frame(call)
                    yield DONE.frame(done)
        except Exception as error:
            if not text:
                raise  # nothing was sent yet, so the answer can still have the status of the error
            problem = describe(error, debug=debug).model_copy(update={"text": "".join(text)})
            yield ERROR.frame(problem)


def _cut_off(text: list[str]) -> bytes:
    return ERROR.frame(stopped().model_copy(update={"text": "".join(text)}))
