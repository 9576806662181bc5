"""Runs asynchronous code from synchronous code, in scripts and notebooks."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result, also where `asyncio.run` does not work.

    A notebook has a running event loop, in which `asyncio.run` fails. There the coroutine runs in a
    loop in another thread and sees the caller's context variables (such as the request id).
    Interrupting the caller cancels the coroutine. Objects of the running loop (an open client, a
    lock) cannot be used inside.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with _loop_in_a_thread() as loop:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        return future.result()


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """At the end, the runner cancels the remaining tasks in the loop and waits for them."""
    loop = asyncio.new_event_loop()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop().run_forever()

    thread = Thread(target=serve, name="run_sync")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
