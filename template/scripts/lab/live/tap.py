"""The log of the service, as events of the page: the same lines that the process would write."""

import io

import orjson
from typing_extensions import Buffer

from scripts.lab.live.bus import Bus


class LogTap(io.BytesIO):
    """A stream for `app.telemetry.logging.configure`. It keeps nothing itself."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    def write(self, line: Buffer, /) -> int:
        written = bytes(line)
        fields = orjson.loads(written)
        self._bus.publish({"kind": "log", "id": fields.get("request_id"), "line": fields})
        return len(written)
