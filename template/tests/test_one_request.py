"""How much code of ours one request runs through: fewer files and calls are easier to follow."""

import inspect
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx2

import app
from app.main import create_app
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.testing import captured_logs
from app.wiring import Service, open_service
from tests.llm.samples import OPENAI
from tests.llm.test_guard import Counting
from tests.running_service import QUESTION, STREAMED

_OURS = str(Path(app.__file__).parent)

# Python 3.11 calls a comprehension as a function; later versions do not.
_INLINED_SINCE_312 = ("<listcomp>", "<dictcomp>", "<setcomp>")

# Upper bounds of today. Lower them when a change makes the way shorter.
MAX_FILES = 35
MAX_CALLS = 152
MAX_GENERATORS = 6
MAX_GUARD_LINES = 950
MAX_LINES_OF_A_SIMPLE_GUARD = 10


@dataclass
class Way:
    """The calls of our functions, and the async generators that ran when a chunk passed."""

    calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.calls}


@contextmanager
def recorded() -> Iterator[Way]:
    way = Way()

    def record(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        inlined = code.co_name in _INLINED_SINCE_312
        if event == "call" and code.co_filename.startswith(_OURS) and not inlined:
            way.calls.append((code.co_filename.removeprefix(_OURS), code.co_qualname))

    sys.setprofile(record)
    try:
        yield way
    finally:
        sys.setprofile(None)


@asynccontextmanager
async def client_of_a_provider(body: bytes, kind: str) -> AsyncIterator[httpx2.AsyncClient]:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": kind})

    @asynccontextmanager
    async def opener(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
        transport = httpx2.MockTransport(answer)
        async with open_service(settings, transport=transport, metrics=metrics) as service:
            yield service

    service = create_app(Settings(), opener=opener)
    async with (
        service.router.lifespan_context(service),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(service), base_url="http://service"
        ) as client,
    ):
        yield client


async def test_a_chat_request_stays_within_its_bounds() -> None:
    async with client_of_a_provider(OPENAI.body, "application/json") as client:
        await client.post("/v1/chat", json=QUESTION)  # first calls import and compile
        other = {"messages": [{"role": "user", "content": "Another question"}]}
        with captured_logs("INFO"), recorded() as way:
            answer = await client.post("/v1/chat", json=other)
    assert answer.json()["cached"] is False
    assert len(way.files) <= MAX_FILES, sorted(way.files)
    assert len(way.calls) <= MAX_CALLS


async def test_a_streamed_chunk_passes_few_generators() -> None:
    async with client_of_a_provider(OPENAI.stream, "text/event-stream") as client:
        await client.post("/v1/chat", json=QUESTION)
        generators: set[str] = set()

        def record(frame: FrameType, event: str, _argument: object) -> None:
            code = frame.f_code
            ours = code.co_filename.startswith(_OURS)
            if event == "call" and ours and code.co_flags & inspect.CO_ASYNC_GENERATOR:
                generators.add(code.co_qualname)

        sys.setprofile(record)
        try:
            answer = await client.post("/v1/chat", json=STREAMED)
        finally:
            sys.setprofile(None)
    assert answer.text.count("event: delta") > 1
    assert len(generators) <= MAX_GENERATORS, sorted(generators)


def test_the_guards_stay_within_their_bound() -> None:
    lines = sum(
        len(path.read_text().splitlines()) for path in Path(_OURS, "llm", "guards").glob("*.py")
    )
    assert lines <= MAX_GUARD_LINES


def test_a_guard_of_a_newcomer_takes_few_lines() -> None:
    assert len(inspect.getsource(Counting).splitlines()) <= MAX_LINES_OF_A_SIMPLE_GUARD
