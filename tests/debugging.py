"""A debugger at a generated service, as an editor attaches it. The client is the service's own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.service import Service
from tests.service_modules import service_module

ROUTE = ("src/app/features/chat/router.py", "question = await body.to_request(tenant)")
TEST = ("tests/test_env_example.py", "defaults = Settings()")


Debugger = service_module("debug_client").Debugger


@contextmanager
def breakpoint_at(service: Service, port: int, name: str, code: str) -> Iterator[Any]:
    """A session with a breakpoint at the first line of a file that has this code."""
    file = service.path / name
    lines = file.read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if code in line)
    with Debugger.attached(port, service.path, file, number) as session:
        yield session


def answer_after_a_stop(service: Service, port: int) -> str:
    """Ask a question, see the request stop in the route, resume it, and return the answer."""
    with ThreadPoolExecutor(1) as pool, breakpoint_at(service, port, *ROUTE) as session:
        answer = pool.submit(service.ask, "Stop here")
        name, _, frame = session.stopped_at()
        assert name == "router.py"
        assert session.value_of("body.messages[0].content", frame) == "'Stop here'"
        session.resume()
        return str(answer.result(60)["content"])


def output_after_a_stop(service: Service, port: int, *make: str) -> str:
    """Run a test, see it stop, resume it, and return the output of `make`."""
    arguments = [f"DEBUG_PORT={port}", f"ARGS={TEST[0]} -k every_value_is_the_default"]
    with ThreadPoolExecutor(1) as pool:
        output = pool.submit(service.run, "make", "test", *make, *arguments)
        with breakpoint_at(service, port, *TEST) as session:
            assert session.stopped_at()[0] == "test_env_example.py"
            session.resume()
            return output.result(300)
