"""The decoder against the standard read literally: any bytes, cut anywhere."""

import re
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.streaming.sse import EventTooLargeError, ServerSentEvent, SSEDecoder

MAX_BYTES = 64
quick = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])

tokens = st.sampled_from(
    [
        *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"),
        *(b"data: ", b"data:", b"data", b"event: ", b"id: ", b"id", b"retry: 1", b": a comment"),
        *(
            b"\xef\xbb\xbf",
            b"\xe2\x80\xa8",
            b"\xe2\x80\xa9",
            b"\xc2\x85",
            b"\x0b",
            b"\x0c",
            b"\x1c",
        ),
        *(b"data: a\r\n", b"data: b\r", b"event: c\r\n", b"id: d\n"),
        *(b" ", b":", b"\0", b"\xff", "\u00df\U0001f3d4".encode()),
    ]
)
streams = st.lists(tokens | st.binary(max_size=9), max_size=40).map(b"".join)
cuts = st.lists(st.integers(0, 300), max_size=30)


def pieces(stream: bytes, where: Sequence[int]) -> list[bytes]:
    inside = sorted(min(cut, len(stream)) for cut in where)
    return [stream[start:end] for start, end in pairwise([0, *inside, len(stream)])]


def read_literally(stream: bytes) -> tuple[list[ServerSentEvent], bool]:
    """The events of a stream that is there as a whole, and whether it ends between two of them.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
    """
    *lines, unfinished = re.split("\r\n|\n|\r", stream.decode("utf-8", "replace"))
    lines[:1] = [line.removeprefix("\ufeff") for line in lines[:1]]
    events: list[ServerSentEvent] = []
    data, kind, last_id = "", "", ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if not line:
            if data:
                events.append(ServerSentEvent(data[:-1], kind or "message", last_id))
            data, kind = "", ""
        elif field == "data":
            data += value + "\n"
        elif field == "event":
            kind = value
        elif field == "id" and "\0" not in value:
            last_id = value
    return events, not (unfinished or data)


@quick
@given(streams, cuts)
def test_any_stream_cut_anywhere_is_read_as_the_standard_says(
    stream: bytes, where: list[int]
) -> None:
    for parts in (pieces(stream, where), pieces(stream, range(len(stream)))):
        decoder = SSEDecoder()
        events = [event for part in parts for event in decoder.feed(part)]
        assert (events, decoder.finish()) == read_literally(stream)


@quick
@given(
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=40),
    st.sampled_from(["\r", "\n", "\r\n"]),
)
def test_any_character_except_line_ends_is_data(text: str, end: str) -> None:
    stream = f"data: {text}{end}{end}".encode()
    assert [event.data for event in SSEDecoder().feed(stream)] == [text]


def is_refused(parts: Sequence[bytes]) -> bool:
    decoder = SSEDecoder(MAX_BYTES)
    try:
        for part in parts:
            decoder.feed(part)
            assert decoder._partial_bytes + decoder._data_bytes <= MAX_BYTES
            assert len(decoder._partial) + len(decoder._data) <= MAX_BYTES
    except EventTooLargeError:
        return True
    return False


@quick
@given(streams, cuts)
def test_a_large_stream_is_refused_at_any_cut_and_memory_is_bounded(
    stream: bytes, where: list[int]
) -> None:
    assert is_refused(pieces(stream, where)) == is_refused([stream])


@settings(quick, max_examples=100)
@given(st.integers(-3, 3), cuts, st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_the_limit_is_exact(more: int, where: list[int], bom: bytes) -> None:
    line = bom + b"data: "
    line += b"x" * (MAX_BYTES - len(line) + more)
    assert is_refused(pieces(line + b"\n\n", where)) == (more > 0)
