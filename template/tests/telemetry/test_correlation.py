import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware.requests import Correlation, valid_traceparent
from app.telemetry.correlation import request_id, trace_id, traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def ids(sent: str | None, parent: str | None = None) -> tuple[str, str | None]:
    """The request id and the `traceparent` of a request with these headers."""
    seen: list[tuple[str, str | None]] = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append((request_id.get() or "", traceparent.get()))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None: ...

    given = {b"x-request-id": sent, b"traceparent": parent}
    headers = [(name, text.encode()) for name, text in given.items() if text is not None]
    await Correlation(app)({"type": "http", "headers": headers}, receive, send)
    return seen[0]


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "0193c2f0-7a6e-7b1e-9c55-3f8a4c1d2e3f",
        "01JD8X5V9Q4Z2M7N3K6P0R1S2T",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "x" * 128,
    ],
    ids=["a letter", "a UUID", "a ULID", "a traceparent", "128 characters"],
)
async def test_a_sane_id_is_accepted(value: str) -> None:
    assert await ids(value) == (value, None)


@pytest.mark.parametrize(
    "value", [None, "", "x" * 129, "a\nb", "a b", "<a>", "-a", "é", "a\x00"], ids=repr
)
async def test_anything_else_is_replaced(value: str | None) -> None:
    made, _ = await ids(value)
    assert made != value
    assert await ids(made) == (made, None)


async def test_no_two_made_ids_are_the_same() -> None:
    assert len({await ids(None) for _ in range(1000)}) == 1000


async def test_a_trace_gives_its_id_to_a_request_that_has_none() -> None:
    assert await ids(None, PARENT) == (TRACE, PARENT)
    assert await ids("not sane", PARENT) == (TRACE, PARENT)
    assert await ids("checkout-42", PARENT) == ("checkout-42", PARENT)


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (PARENT, PARENT),
        (PARENT[:-2] + "00", PARENT[:-2] + "00"),
        ("cc" + PARENT[2:], "cc" + PARENT[2:]),
        ("cc" + PARENT[2:] + "-what-the-future-will-be-like", "cc" + PARENT[2:]),
    ],
    ids=["sampled", "not sampled", "a later version", "a later version with more fields"],
)
def test_a_valid_traceparent_is_understood(value: str, known: str) -> None:
    assert valid_traceparent(value) == known
    assert trace_id(known) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "-more",
        "ff" + PARENT[2:],
        PARENT.replace(TRACE, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        "cc" + PARENT[2:] + ".more",
        "cc" + PARENT[2:] + "-\n",
        " " + PARENT,
    ],
    ids=repr,
)
async def test_any_other_is_as_good_as_none(value: str) -> None:
    assert valid_traceparent(value) is None
    assert (await ids("checkout-42", value)) == await ids("checkout-42", None)
