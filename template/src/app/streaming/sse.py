"""Server-sent events, decoded from bytes as they arrive. No I/O.

Lines end at LF, CR or CRLF and nowhere else: `bytes.splitlines` knows exactly these three, while
`str.splitlines` would also break a text at U+2028, U+2029 and U+0085. Every byte is looked at a
fixed number of times, however small the pieces are.
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
    """One event is larger than the decoder is willing to hold."""


class SSEDecoder:
    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._at_start = True
        self._after_cr = False
        self._partial: list[bytes] = []  # the pieces of a line whose end has not arrived
        self._partial_bytes = 0
        self._data: list[str] = []
        self._data_bytes = 0
        self._event = ""
        self._last_id = ""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a CRLF that was cut in two
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

    def finish(self) -> bool:
        """Whether the stream ended between two events.

        Half an event is dropped, as the standard says: the other half may be the one that matters.
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
        # A comment is a field without a name; it and every unknown field fall through.
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
