"""Decodes the body of a streamed answer, for any `Content-Type`. No I/O.

The body is a stream of server-sent events, or one JSON document: a server without streams sends its
whole answer, and a failing server sends an error with status 200.
"""

from pydantic_core import from_json

from app.streaming.sse import EventTooLargeError, ServerSentEvent, SSEDecoder

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class EventBody:
    """Converts bytes to events. Only the end of the body shows if the last event is complete."""

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._document: bytearray | None = None
        self._begun = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        if not self._begun and (start := data.removeprefix(_BOM).lstrip()):
            self._begun = True
            if start[:1] in {b"{", b"["}:
                self._document = bytearray()
        if self._document is None:
            return self._decoder.feed(data)
        self._document += data
        if len(self._document) > MAX_DOCUMENT_BYTES:
            raise EventTooLargeError(f"a document is larger than {MAX_DOCUMENT_BYTES} bytes")
        return []

    def finish(self) -> tuple[list[ServerSentEvent], bool]:
        """The last events, and whether the body ended between two events.

        The last event may lack its empty line if its data is `[DONE]` or complete JSON.
        """
        if self._document is not None:
            text = self._document.removeprefix(_BOM).decode("utf-8", "replace")
            return [ServerSentEvent(text)], True
        last = self._decoder.unfinished()
        whole = self._decoder.finish()
        if last is not None and _is_whole(last.data):
            return [last], True
        return [], whole


def _is_whole(data: str) -> bool:
    """Whether an event's data is complete: the beginning of a JSON object is not.

    Each line may be a separate event, from a server that never sends empty lines.
    """
    return _is_object(data) or all(
        line.strip() in {"", "[DONE]"} or _is_object(line) for line in data.split("\n")
    )


def _is_object(text: str) -> bool:
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False
