import pytest

from app.api.middleware.correlation import accept_or_make, valid_traceparent
from app.telemetry.correlation import trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


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
def test_a_sane_id_is_accepted(value: str) -> None:
    assert accept_or_make(value) == value


@pytest.mark.parametrize(
    "value", [None, "", "x" * 129, "a\nb", "a b", "<a>", "-a", "é", "a\x00"], ids=repr
)
def test_anything_else_is_replaced(value: str | None) -> None:
    made = accept_or_make(value)
    assert made != value
    assert accept_or_make(made) == made


def test_no_two_made_ids_are_the_same() -> None:
    assert len({accept_or_make(None) for _ in range(1000)}) == 1000


def test_a_trace_gives_its_id_to_a_request_that_has_none() -> None:
    assert accept_or_make(None, PARENT) == TRACE
    assert accept_or_make("not sane", PARENT) == TRACE
    assert accept_or_make("checkout-42", PARENT) == "checkout-42"


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
        None,
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
def test_any_other_is_as_good_as_none(value: str | None) -> None:
    assert valid_traceparent(value) is None
