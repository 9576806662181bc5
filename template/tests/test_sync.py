"""`run_sync`, called where no loop runs (a script) and where one does (a notebook)."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from app.sync import run_sync
from app.telemetry.correlation import request_id


async def answer() -> str:
    await asyncio.sleep(0)
    return f"42 for {request_id.get()}"


async def failing() -> None:
    await asyncio.sleep(0)
    raise KeyError("no")


@pytest.fixture(autouse=True)
def _named_request() -> Iterator[None]:
    token = request_id.set("r-1")
    yield
    request_id.reset(token)


def test_a_script_gets_the_result() -> None:
    assert run_sync(answer()) == "42 for r-1"


async def test_a_notebook_gets_the_result() -> None:
    request_id.set("r-2")
    assert run_sync(answer()) == "42 for r-2"


def test_a_script_gets_the_error() -> None:
    with pytest.raises(KeyError):
        run_sync(failing())


async def test_a_notebook_gets_the_error() -> None:
    with pytest.raises(KeyError):
        run_sync(failing())


async def test_nothing_keeps_running_in_a_notebook() -> None:
    left: list[str] = []

    async def leaves_a_task() -> None:
        async def forgotten() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                left.append("ended")

        background.append(asyncio.create_task(forgotten()))
        await asyncio.sleep(0)

    background: list[asyncio.Task[None]] = []
    threads = threading.active_count()
    run_sync(leaves_a_task())
    assert left == ["ended"]
    assert threading.active_count() == threads


async def test_interrupting_a_notebook_cancels_the_running_call() -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with _interrupted_after(0.05), pytest.raises(KeyboardInterrupt):
        run_sync(hang())
    assert ended == ["cancelled"]


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Interrupt like the stop button of a notebook."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(seconds, signal.pthread_kill, [threading.get_ident(), signal.SIGUSR1])
    timer.start()
    try:
        yield
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
