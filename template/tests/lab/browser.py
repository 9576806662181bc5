"""A headless Chromium, driven through the Chrome DevTools Protocol with aiohttp: no further package."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers; the page is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-port=0",
    "--window-size=1280,800",
)


def installed() -> str | None:
    """The program of a Chromium, or `None`."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Tab:
    """One page. `errors` are the errors of its scripts and of its console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.errors: list[object] = []

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while (message := await self._socket.receive_json()).get("id") != self._number:
            self._note(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    async def open(self, url: str) -> None:
        await self.call("Runtime.enable")
        await self.call("Log.enable")
        await self.call("Page.navigate", url=url)

    async def value(self, script: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str, *, within_s: float = 30) -> None:
        """Wait until the script is true: generous, because it ends as soon as it is."""
        try:
            async with asyncio.timeout(within_s):
                while not await self.value(script):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"after {within_s} s not true: {script}") from None

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(message["params"])
        entry = message.get("params", {}).get("entry", {})
        if message.get("method") == "Log.entryAdded" and entry["level"] == "error":
            self.errors.append(entry)


@asynccontextmanager
async def tab(program: str, profile: Path) -> AsyncIterator[Tab]:
    process = _started(program, profile)
    try:
        port = await _port(profile / "DevToolsActivePort")
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
            session.put("/json/new?about:blank") as answer,
            session.ws_connect((await answer.json())["webSocketDebuggerUrl"], max_msg_size=0) as ws,
        ):
            yield Tab(ws)
    finally:
        process.terminate()
        process.wait(30)


def _started(program: str, profile: Path) -> subprocess.Popen[bytes]:
    command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - found by its name


async def _port(file: Path) -> str:
    async with asyncio.timeout(60):
        while not (file.exists() and file.read_text().strip()):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.1)
    return file.read_text().split()[0]  # noqa: ASYNC240
