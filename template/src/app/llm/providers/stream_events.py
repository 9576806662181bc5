"""What the events of a provider's stream hold, before either grammar reads them.

What is no chunk is passed over: keep-alives as comments within `data`, empty objects, pings. An error
is raised, in whichever envelope and grammar it comes. Anything else that is no JSON object is
malformed, because a part of the answer may be in it.
"""

from collections.abc import Iterator

from pydantic import JsonValue

from app.errors import MalformedAnswerError
from app.llm.providers.boundary import is_empty, malformed, parsed
from app.llm.providers.reported import raise_error_in, told
from app.llm.status import reported_error
from app.streaming.sse import ServerSentEvent

JSONObject = dict[str, JsonValue]

_DONE = {"[DONE]", '"[DONE]"'}
_KEEP_ALIVES = {"ping", "[ping]", "keep-alive", "keepalive", "heartbeat", "[heartbeat]"}


def objects(event: ServerSentEvent, provider: str) -> Iterator[JSONObject | None]:
    """The JSON objects of an event; None for the `[DONE]` that ends a stream of OpenAI's."""
    data = event.data.strip()
    if event.event.lower() == "error" and data:
        raise reported_error(told(data), provider=provider)
    if not data or _is_keep_alive(event.event) or _is_keep_alive(data):
        return
    for text in _messages(data, provider):
        if text.strip() in _DONE:
            yield None
        else:
            yield from _checked(parsed(text, provider), provider)


def _is_keep_alive(text: str) -> bool:
    return text.startswith(":") or text.lower() in _KEEP_ALIVES


def _messages(data: str, provider: str) -> list[str]:
    """One, unless the server leaves out the empty line between two events of one line each."""
    if "\n" not in data:
        return [data]
    try:
        parsed(data, provider)
    except MalformedAnswerError:
        return [line for line in data.split("\n") if line.strip()]
    return [data]


def _checked(value: JsonValue, provider: str) -> Iterator[JSONObject]:
    if is_empty(value) or (isinstance(value, str) and _is_keep_alive(value.strip())):
        return
    raise_error_in(value, provider)
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise malformed(provider, "answer", "is not an object")
        yield item
