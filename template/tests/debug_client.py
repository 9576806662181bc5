"""A small client of the Debug Adapter Protocol: attaches, sets breakpoints, reads variables.

A message is JSON behind a `Content-Length` header, like in HTTP.
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

Message = dict[str, Any]


class Debugger:
    """One session with a debug adapter. Every wait ends after `timeout_s`."""

    def __init__(self, port: int, *, timeout_s: float = 60) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._events: list[Message] = []

    @classmethod
    @contextmanager
    def attached(cls, port: int, root: Path, file: Path, line: int) -> Iterator[Self]:
        """A session with a breakpoint. `root` is the project here, and the process runs in its copy."""
        session = cls.connected(port)
        try:
            session._attach(root, file, line)
            yield session
        finally:
            session.close()

    @classmethod
    def connected(cls, port: int, timeout_s: float = 60) -> Self:
        """Connect when an adapter answers: a container's port accepts connections before it does."""
        deadline = time.monotonic() + timeout_s
        while True:
            session = None
            try:
                session = cls(port)
                session.ask("initialize", adapterID="test")
            except OSError:
                if session:
                    session.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return session

    def _attach(self, root: Path, file: Path, line: int) -> None:
        # Like `.vscode/launch.json`; `.` is the directory of the process.
        same = {"localRoot": str(root), "remoteRoot": "."}
        self._send("attach", justMyCode=True, pathMappings=[same])
        self._event("initialized")
        asked = {"source": {"path": str(file)}, "breakpoints": [{"line": line}]}
        (breakpoint_,) = self.ask("setBreakpoints", **asked)["breakpoints"]
        assert breakpoint_["verified"], breakpoint_
        self.ask("configurationDone")

    def stopped_at(self) -> tuple[str, int, int]:
        """Wait for a stop: the file's name, the line, and the frame's number."""
        thread = self._event("stopped")["threadId"]
        frame = self.ask("stackTrace", threadId=thread)["stackFrames"][0]
        return Path(frame["source"]["path"]).name, frame["line"], frame["id"]

    def value_of(self, expression: str, frame: int) -> str:
        return str(self.ask("evaluate", expression=expression, frameId=frame)["result"])

    def resume(self) -> None:
        self.ask("continue", threadId=0)

    def ask(self, command: str, **arguments: object) -> Message:
        """Send a request and return the body of its response."""
        number = self._send(command, **arguments)
        while True:
            message = self._read()
            if message["type"] == "event":
                self._events.append(message)
            elif message.get("request_seq") == number:
                assert message["success"], message
                return dict(message.get("body") or {})

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def _send(self, command: str, **arguments: object) -> int:
        self._number += 1
        request = {"seq": self._number, "type": "request", "command": command}
        body = json.dumps({**request, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self._number

    def _event(self, name: str) -> Message:
        """The body of the next event with this name."""
        while True:
            for message in self._events:
                if message["event"] == name:
                    self._events.remove(message)
                    return dict(message.get("body") or {})
            if (message := self._read())["type"] == "event":
                self._events.append(message)

    def _read(self) -> Message:
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        if not length:
            raise ConnectionError("the debug adapter closed the connection")
        return dict(json.loads(self._file.read(length)))
