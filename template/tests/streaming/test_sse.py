import time

import pytest

from app.streaming.sse import EventTooLargeError, ServerSentEvent, SSEDecoder

SAMPLE = (
    b"\xef\xbb\xbf: a comment, after a byte order mark\n"
    b"event: greeting\r\n"
    b"id: 7\r\n"
    b"data: Gr\xc3\xbc\xc3\x9fe \xf0\x9f\x8e\x89\r\n"
    b"data:second line\r"
    b"\r"
    b"retry: 10\n"
    b"data:  two spaces\xe2\x80\xa8and\xc2\x85separators\xe2\x80\xa9\n"
    b"\n"
    b"event: no data, no event\r\n"
    b"\r\n"
    b"data\n"
    b"\n"
    b"id\n"
    b"data: [DONE]\r\n\r\n"
)
EVENTS = [
    ServerSentEvent("Grüße 🎉\nsecond line", "greeting", "7"),
    ServerSentEvent(" two spaces\u2028and\u0085separators\u2029", "message", "7"),
    ServerSentEvent("", "message", "7"),
    ServerSentEvent("[DONE]", "message", ""),
]


def decode(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    assert decoder.finish()
    return events


def test_a_whole_stream_in_one_piece() -> None:
    assert decode(SAMPLE) == EVENTS


def test_every_cut_into_two_pieces_gives_the_same_events() -> None:
    for cut in range(len(SAMPLE) + 1):
        assert decode(SAMPLE[:cut], SAMPLE[cut:]) == EVENTS, cut


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_pieces_of_a_few_bytes_give_the_same_events(size: int) -> None:
    pieces = [SAMPLE[start : start + size] for start in range(0, len(SAMPLE), size)]
    assert decode(*pieces) == EVENTS


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_each_line_ending_ends_lines(end: bytes) -> None:
    assert decode(end.join([b"data: a", b"data: b", b"", b""])) == [ServerSentEvent("a\nb")]


def test_an_event_is_given_out_as_soon_as_it_is_complete() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: x\r\n\r") == [ServerSentEvent("x")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: y\n\n") == [ServerSentEvent("y")]


def test_an_empty_piece_between_the_halves_of_a_line_ending_changes_nothing() -> None:
    assert decode(b"data: x\r", b"", b"\ndata: y\n\n") == [ServerSentEvent("x\ny")]


@pytest.mark.parametrize("rest", [b"data: half", b"data: whole line\n", b": half a comm"])
def test_half_an_event_at_the_end_is_dropped_and_reported(rest: bytes) -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: x\n\n" + rest) == [ServerSentEvent("x")]
    assert not decoder.finish()


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert decode(b"data: \xff!\n\n") == [ServerSentEvent("\ufffd!")]


def test_an_id_with_a_null_is_ignored() -> None:
    assert decode(b"id: 1\nid: a\0b\ndata: x\n\n") == [ServerSentEvent("x", id="1")]


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param([b"data: " + b"x" * 200], id="one line in one piece, unfinished"),
        pytest.param([b"data: " + b"x" * 200 + b"\n"], id="one line in one piece"),
        pytest.param([b"x"] * 200, id="one line in many pieces"),
        pytest.param([b"data: " + b"x" * 20 + b"\n"] * 10, id="many lines"),
        pytest.param([b"data\n"] * 200, id="many empty lines"),
    ],
)
def test_an_event_that_is_too_large_is_refused(stream: list[bytes]) -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    with pytest.raises(EventTooLargeError, match="100 bytes"):
        [decoder.feed(piece) for piece in stream]


def test_the_limit_is_per_event() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    stream = (b": " + b"c" * 60 + b"\n" + b"data: " + b"x" * 60 + b"\n\n") * 20
    assert len(decoder.feed(stream)) == 20


def test_the_cost_of_a_long_line_grows_with_its_length_and_not_with_its_square() -> None:
    def cost_s(size: int) -> float:
        decoder = SSEDecoder(max_event_bytes=10_000_000)
        started = time.thread_time()
        for _ in range(size):
            decoder.feed(b"x")
        return time.thread_time() - started

    # Measured one right after the other: load on the machine slows down both.
    assert any(cost_s(80_000) < 8 * 4 * cost_s(10_000) for _ in range(5))
