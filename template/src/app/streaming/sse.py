"""Decoder for server-sent events: bytes in, events out. No I/O.

A line ends at LF, CR or CRLF only. `bytes.splitlines` splits at exactly these three, while
`str.splitlines` would also split at U+2028, U+2029 and U+0085. Each byte is read a fixed number of
times, even if the chunks are very small.
"""

from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = (b"\n", b"\r")
MAX_EVENT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    data: str
    event: str = "message"
    id: str = ""


class EventTooLargeError(ValueError):
    """One event is larger than the decoder's limit."""


class SSEDecoder:
    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._at_start = True
        self._after_cr = False
        self._partial: list[bytes] = []  # the pieces of an incomplete line
        self._partial_bytes = 0
        self._data: list[str] = []
        self._data_bytes = 0
        self._event = ""
        self._last_id = ""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Return the events that `data` completes."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the LF of a CRLF that was split between two chunks
            self._after_cr = False
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        events = []
        for piece in data.splitlines(keepends=True):
            if piece.endswith(_LINE_ENDS):
                event = self._line(self._joined(piece.rstrip(b"\r\n")))
                if event is not None:
                    events.append(event)
            else:
                self._keep(piece)
        return events

    def unfinished(self) -> ServerSentEvent | None:
        """The event at the end of the stream that has no empty line after it, or None.

        The SSE specification discards it. Some servers omit the last empty line, so a reader that
        can check whether the event is complete may use it, before it calls `finish`.
        """
        data = [*self._data]
        name, _, value = b"".join(self._partial).partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        if not data:
            return None
        return ServerSentEvent("\n".join(data), self._event or "message", self._last_id)

    def finish(self) -> bool:
        """Return whether the stream ended between two events.

        An incomplete event at the end is discarded, as the SSE specification requires.
        """
        whole = not (self._partial or self._data)
        self._partial.clear()
        self._partial_bytes = 0
        self._reset()
        return whole

    def _keep(self, piece: bytes) -> None:
        self._partial.append(piece)
        self._partial_bytes += len(piece)
        self._check(self._partial_bytes)

    def _joined(self, piece: bytes) -> bytes:
        if not self._partial:
            return piece
        line = b"".join((*self._partial, piece))
        self._partial.clear()
        self._partial_bytes = 0
        return line

    def _line(self, line: bytes) -> ServerSentEvent | None:
        self._check(len(line))
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        self._field(name, value.removeprefix(b" "))
        return None

    def _field(self, name: bytes, value: bytes) -> None:
        # Comments (fields without a name) and unknown fields are ignored.
        if name == b"data":
            self._data.append(value.decode("utf-8", "replace"))
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._last_id = value.decode("utf-8", "replace")

    def _dispatch(self) -> ServerSentEvent | None:
        event = None
        if self._data:
            event = ServerSentEvent("\n".join(self._data), self._event or "message", self._last_id)
        self._reset()
        return event

    def _reset(self) -> None:
        self._data.clear()
        self._data_bytes = 0
        self._event = ""

    def _check(self, line_bytes: int) -> None:
        if self._data_bytes + line_bytes > self._max_event_bytes:
            raise EventTooLargeError(f"an event is larger than {self._max_event_bytes} bytes")
