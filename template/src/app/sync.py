"""The way from plain code into asynchronous code, for scripts and notebooks."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end and return the result, where `asyncio.run` works and where it does not.

    A notebook has a running loop, and `asyncio.run` refuses to start a second one there. Then the
    coroutine gets a loop in a thread of its own, and sees the caller's context variables (a request
    id, for one). Interrupting the caller cancels the coroutine. What belongs to the running loop
    (an open client, a lock) cannot be used inside.
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
    """At the end the runner cancels what is left in the loop, and waits for it."""
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
