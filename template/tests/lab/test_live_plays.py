"""`make lab`, as a process: real servers, real time at ten times the speed, and a real browser."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import orjson
import pytest

from scripts.lab.incident import load, names
from scripts.lab.live.bus import Event
from tests.lab import browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PORTS = ("LAB_PORT", "APP_PORT", "MOCK_PORT")


@dataclass
class Running:
    process: subprocess.Popen[str]
    lab: str
    service: str


@pytest.fixture
def running() -> Iterator[Running]:
    """The lab on free ports. It ends by the signal of Ctrl-C."""
    environment = {**os.environ, **dict.fromkeys(PORTS, "0")}
    environment.pop("INCIDENT", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.lab"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        found: list[str] = []
        while len(found) < 3:
            line = process.stdout.readline()
            assert line, "the lab ended"
            found += re.findall(r"^  (?:lab|service|mock LLM) +(http://\S+)", line)
        yield Running(process, found[0], found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


async def play(client: httpx2.AsyncClient, name: str) -> AsyncIterator[Event]:
    """The events of a play, from its beginning to the end of the incident."""
    await client.post("/speed/10")
    async with client.stream("GET", "/events") as answer:
        await client.post(f"/play/{name}")
        lines = (line async for line in answer.aiter_lines() if line.startswith("data: "))
        began = False
        async for line in lines:
            for event in orjson.loads(line.removeprefix("data: ")):
                began |= event["kind"] == "begin" and "play" in event
                if began:
                    yield event
                if event["kind"] in {"end", "failed"}:
                    return


def _is_saved(line: Event) -> bool:
    """A question that came after the answer, on a busy machine, is answered from the cache."""
    return line["event"] == "llm.shared" or line.get("outcome") == "cached"


def of_kind(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["kind"] == kind]


async def test_a_play_is_shown_from_its_first_request_to_its_verdicts(running: Running) -> None:
    async with httpx2.AsyncClient(base_url=running.lab, timeout=60, trust_env=False) as client:
        async with asyncio.timeout(60):
            events = [event async for event in play(client, "stampede")]
    assert len(of_kind(events, "request")) == len(of_kind(events, "answer")) == 40
    assert [event["as"] for event in of_kind(events, "attempt")] == ["first"]
    lines = [event["line"] for event in of_kind(events, "log")]
    saved = [line for line in lines if isinstance(line, dict) and _is_saved(line)]
    assert len(saved) == 39
    (end,) = of_kind(events, "end")
    verdicts = end["verdicts"]
    assert isinstance(verdicts, list)
    assert len(verdicts) == len(load("stampede").pledges)


async def test_a_request_of_your_own_is_shown_between_plays(running: Running) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        answer = await client.post(f"{running.service}/v1/chat", json=body)
        assert (answer.status_code, answer.headers["x-request-id"]) == (200, "yours-001")
        async with client.stream("GET", f"{running.lab}/events") as stream:
            lines = stream.aiter_lines()
            attempt = await anext(line async for line in lines if '"kind":"attempt_end"' in line)
    assert '"id":"yours-001"' in attempt


def test_ctrl_c_ends_the_lab_in_the_middle_of_a_play_and_frees_its_ports(running: Running) -> None:
    httpx2.post(f"{running.lab}/play/hang", timeout=60)
    with httpx2.stream("GET", f"{running.lab}/events", timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        running.process.send_signal(signal.SIGINT)
        assert [
            line for line in lines if "failed" in line
        ] == []  # the stream ends, without an error
    assert running.process.wait(60) == 0
    for address in (running.lab, running.service):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) != 0


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = {**os.environ, **dict.fromkeys(PORTS, "0"), "APP_PORT": port, "INCIDENT": ""}
        done = subprocess.run(
            [sys.executable, "-m", "scripts.lab"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}: address already in use" in done.stderr
    assert f"APP_PORT={int(port) + 10} make lab" in done.stderr


async def test_every_incident_plays_in_a_browser(running: Running, tmp_path: Path) -> None:
    """Each switch is clicked, and a request; one incident is watched to its verdicts."""
    program = browser.installed()
    if program is None:
        pytest.skip("no Chromium is installed (chromium, chromium-browser, google-chrome)")
    async with browser.tab(program, tmp_path / "profile") as page:
        await page.open(running.lab)
        await page.until("document.querySelectorAll('#incidents button').length > 0")
        await page.until("document.querySelector('#empty').textContent.includes('curl')")
        await page.value("document.querySelector('#speeds button[value=\"10\"]').click()")
        for name in names():
            await _click_through(page, name)
        await _watch_a_client_over_its_limit(page)
        await _watch_to_the_end(page, "overload")
        await page.value("document.querySelector('#incidents button[value=overload]').click()")
        await page.until("document.body.dataset.state === 'idle'")
        assert page.errors == []


async def _click_through(page: browser.Tab, name: str) -> None:
    button = f"document.querySelector('#incidents button[value={name}]')"
    await page.value(f"{button}.click()")
    await page.until(f"{button}.ariaChecked === 'true'")
    done = ".request[aria-label*=answer], .request[aria-label*=status]"
    await page.until(f"document.querySelectorAll('{done}').length > 0")
    await page.value(f"document.querySelector('{done}').dispatchEvent(new MouseEvent('click'))")
    await page.until("document.querySelector('#lines b')?.textContent.includes('.')")
    lines = await page.value("document.querySelector('#lines').textContent")
    assert "http.request" in lines or "llm.call" in lines or "client.limited" in lines
    assert await page.value("document.querySelectorAll('#pledges tr').length") == len(
        load(name).pledges
    )
    checked = await page.value("document.querySelectorAll('#incidents [aria-checked=true]').length")
    assert checked == 1


async def _watch_a_client_over_its_limit(page: browser.Tab) -> None:
    await page.value("document.querySelector('#incidents button[value=client]').click()")
    await page.until("document.querySelector('#clients .over b')?.textContent.includes('refused')")
    left = "document.querySelector('#clients .over [role=meter]').getAttribute('aria-valuenow')"
    assert await page.value(left) == "0"
    assert await page.value("document.querySelectorAll('#clients li:not(.over)').length") == 1


async def _watch_to_the_end(page: browser.Tab, name: str) -> None:
    await page.value(f"document.querySelector('#incidents button[value={name}]').click()")
    await page.until("document.body.dataset.state === 'ended'", within_s=60)
    rows = await page.value("document.querySelectorAll('#pledges .kept, #pledges .broken').length")
    assert rows == len(load(name).pledges)
    assert await page.value("document.querySelectorAll('.attempt.first').length") > 10
