"""Reads the events of a streamed answer, with a limit on its bytes."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2 as httpx

from app.errors import MalformedAnswerError, ProviderConnectionError
from app.llm.bodies import ByteLimit, pieces_of
from app.llm.event_body import EventBody
from app.streaming.sse import ServerSentEvent

_PAGE = "text/html"


async def read_events(
    response: httpx.Response, max_bytes: int, provider: str
) -> AsyncGenerator[ServerSentEvent, None]:
    """The events as they arrive. Raises an error if the answer is a page, or ends in an event."""
    _check_content(response, provider)
    decoder = EventBody()
    limit = ByteLimit(max_bytes, provider)
    async with aclosing(pieces_of(response)) as chunks:
        async for chunk in chunks:
            limit.count(chunk)
            for event in decoder.feed(chunk):
                yield event
    last, is_whole = decoder.finish()
    for event in last:
        yield event
    if not is_whole:
        raise ProviderConnectionError(
            f"{provider} hung up in the middle of an event", provider=provider
        )


def _check_content(response: httpx.Response, provider: str) -> None:
    """A page is refused by its type. Any other type says too little: `EventBody` looks."""
    if response.headers.get("content-type", "").lower().startswith(_PAGE):
        raise MalformedAnswerError(
            f"{provider} answered with something that is not an event stream", provider=provider
        )
