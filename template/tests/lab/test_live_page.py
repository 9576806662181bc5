"""The page of `make lab`: its files, its events, its switches, and their protection."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import orjson
import pytest

from mock_api.faults import Fault
from scripts.lab import incident as files
from scripts.lab.connection import Connection
from scripts.lab.incident import names
from scripts.lab.live.application import Page
from scripts.lab.live.bus import Bus, Event
from scripts.lab.live.words import catalogue, in_words

PAGE = Path(files.__file__).parent / "live/page"


class FakeDirector:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def play(self, name: str) -> None:
        if name == "cut":
            raise ValueError("the file is not TOML")
        self.done.append(name)

    async def idle(self) -> None:
        self.done.append("")


@pytest.fixture
def bus() -> Bus:
    return Bus(time.monotonic)


@pytest.fixture
def director() -> FakeDirector:
    return FakeDirector()


@pytest.fixture
async def browser(bus: Bus, director: FakeDirector) -> AsyncIterator[httpx2.AsyncClient]:
    page = Page(
        bus, director, {"service": "http://127.0.0.1:8000", "mock": "http://127.0.0.1:9000"}
    )
    transport = Connection(page.application())
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8090") as client:
        yield client


async def events_of(answer: httpx2.Response) -> AsyncIterator[Event]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            for event in orjson.loads(line.removeprefix("data: ")):
                yield event


async def test_the_first_events_have_all_incidents_and_the_play_so_far(
    browser: httpx2.AsyncClient, bus: Bus
) -> None:
    bus.begin({"play": {"name": "storm"}})
    bus.publish({"kind": "request", "id": "storm-001"})
    async with browser.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = events_of(answer)
        hello, speed, begin, request = [await anext(events) for _ in range(4)]
        bus.publish({"kind": "answer", "id": "storm-001"})
        assert (await anext(events))["kind"] == "answer"
    incidents = hello["incidents"]
    assert isinstance(incidents, list)
    assert [each["name"] for each in incidents] == names()
    assert (speed["speed"], begin["play"]) == (1.0, {"name": "storm"})
    assert request["id"] == "storm-001"


async def test_a_browser_that_closes_leaves_nothing_behind(
    browser: httpx2.AsyncClient, bus: Bus
) -> None:
    async with browser.stream("GET", "/events") as answer:
        await anext(events_of(answer))
        assert bus.pages == 1
    assert bus.pages == 0


async def test_the_end_of_the_lab_ends_the_events(browser: httpx2.AsyncClient, bus: Bus) -> None:
    async with browser.stream("GET", "/events") as answer:
        events = events_of(answer)
        await anext(events)
        bus.close()
        assert [event["kind"] async for event in events][-1] == "begin"


async def test_the_switches_play_and_stop(
    browser: httpx2.AsyncClient, director: FakeDirector
) -> None:
    own = {"Origin": "http://127.0.0.1:8090"}
    assert (await browser.post("/play/storm", headers=own)).status_code == 200
    assert (await browser.post("/stop", headers=own)).status_code == 200
    assert director.done == ["storm", ""]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/play/flood", "there is no incident flood"),
        ("/play/cut", "the file is not TOML"),
        ("/speed/3", "the speed is one of: 1, 2, 5, 10"),
    ],
)
async def test_a_switch_that_cannot_work_says_why(
    browser: httpx2.AsyncClient, director: FakeDirector, path: str, why: str
) -> None:
    answer = await browser.post(path)
    assert (answer.status_code, answer.json()) == (422, {"why": why})
    assert director.done == []


@pytest.mark.parametrize("path", ["/play/storm", "/stop", "/speed/2"])
async def test_a_page_of_another_origin_cannot_use_the_switches(
    browser: httpx2.AsyncClient, director: FakeDirector, path: str
) -> None:
    answer = await browser.post(path, headers={"Origin": "https://example.com"})
    assert answer.status_code == 422
    assert director.done == []


async def test_another_host_name_is_refused(browser: httpx2.AsyncClient) -> None:
    """A name that an attacker's DNS resolves to this machine would read the log."""
    answer = await browser.get("/events", headers={"Host": "example.com:8090"})
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/", "/lab.css", "/lab.js", "/draw.js"])
async def test_the_files_of_the_page_load_nothing_from_elsewhere(
    browser: httpx2.AsyncClient, path: str
) -> None:
    answer = await browser.get(path)
    addresses = re.findall(r"https?://[\w.]+|url\(|@import", answer.text)
    assert [each for each in addresses if each != "http://www.w3.org"] == []
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_every_element_that_the_script_needs_is_on_the_page() -> None:
    wanted = set(re.findall(r'find\("([\w-]+)"\)', (PAGE / "lab.js").read_text()))
    assert wanted - set(re.findall(r'id="([\w-]+)"', (PAGE / "index.html").read_text())) == set()
    assert len(wanted) > 15


def test_every_kind_of_event_is_handled_by_the_script() -> None:
    sources = "".join(path.read_text() for path in PAGE.parent.glob("*.py"))
    published = set(re.findall(r'"kind": "(\w+)"', sources))
    handlers = (PAGE / "lab.js").read_text().partition("const on = {")[2].partition("\n};")[0]
    handled = set(re.findall(r"^  (\w+)\(event\) \{", handlers, re.MULTILINE))
    assert published == handled


def test_a_file_that_cannot_be_read_is_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "INCIDENTS", tmp_path)
    (tmp_path / "half.toml").write_text("title = ")
    (tmp_path / "empty.toml").write_text("")
    half, empty = catalogue()[1], catalogue()[0]
    assert "Invalid value" in str(half["problem"])
    assert "load" in str(empty["problem"])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=503, path="/v1/messages"), "status 503 (anthropic)"),
        (Fault(retry_after=2, rate=0.8), "status 429, 80% of calls"),
        (Fault(latency_ms=30_000, times=2), "30 s late, 2 times"),
        (Fault(drop_after_chunks=3, path="/v1/chat"), "connection closed (openai)"),
        (Fault(stall_after_chunks=0), "silence"),
        (Fault(ping_after_chunks=0), "only pings"),
        (Fault(malformed=True), "broken JSON"),
        (Fault(tokens_per_second=2), "slow text"),
    ],
)
def test_a_fault_in_words(fault: Fault, words: str) -> None:
    assert in_words(fault) == words
