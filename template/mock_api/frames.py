"""An event of a stream, as bytes and as JSON."""

from typing import Any, NamedTuple

import orjson

Json = dict[str, Any]
_DATA = b"data: "


class Frame(NamedTuple):
    """An encoded event; `content` marks events with a piece of the answer."""

    data: bytes
    content: bool = False

    @property
    def event(self) -> Json | None:
        """The data as JSON; None if it is not a JSON object, such as `[DONE]`."""
        data = self.data.partition(_DATA)[2]
        if not data.startswith(b"{"):
            return None
        event: Json = orjson.loads(data)
        return event

    def having(self, event: Json) -> "Frame":
        """The same event with other data."""
        head = self.data.partition(_DATA)[0]
        return self._replace(data=head + _DATA + orjson.dumps(event) + b"\n\n")
