"""The exact bounds of the decoder: found by mutations of the code that no other test detected."""

import pytest

from app.streaming.sse import EventTooLargeError, ServerSentEvent, SSEDecoder

BOM = b"\xef\xbb\xbf"


def decode(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert decode(BOM + b"data: x\n\n") == [ServerSentEvent("x")]


@pytest.mark.parametrize("before", [b"\n", b": comment\n"], ids=["empty line", "comment"])
def test_a_byte_order_mark_later_on_is_a_character_like_any_other(before: bytes) -> None:
    assert decode(before + BOM + b"data: x\n\ndata: y\n\n") == [ServerSentEvent("y")]


def test_only_one_line_feed_belongs_to_a_carriage_return() -> None:
    assert decode(b"data: x\r", b"\n", b"\n") == [ServerSentEvent("x")]


@pytest.mark.parametrize("text", ["x  ", "x\t", "X"], ids=["spaces", "a tab", "an X"])
def test_a_line_loses_its_end_and_nothing_else(text: str) -> None:
    assert decode(f"data: {text}\r\n\r\n".encode()) == [ServerSentEvent(text)]


def test_names_and_ids_that_are_not_utf8_are_replaced_too() -> None:
    events = decode(b"event: \xff\nid: \xfe\ndata: x\n\n")
    assert events == [ServerSentEvent("x", "\ufffd", "\ufffd")]


LINE = b"data: 1234"  # ten bytes


class TestAtTheLimit:
    @pytest.fixture
    def decoder(self) -> SSEDecoder:
        return SSEDecoder(max_event_bytes=len(LINE))

    @pytest.mark.parametrize("end", [b"", b"\n"], ids=["unfinished", "finished"])
    def test_an_event_may_be_as_large_as_the_limit(self, decoder: SSEDecoder, end: bytes) -> None:
        assert decoder.feed(LINE + end) == []

    @pytest.mark.parametrize("end", [b"", b"\n"], ids=["unfinished", "finished"])
    def test_an_event_one_byte_above_the_limit_is_refused(
        self, decoder: SSEDecoder, end: bytes
    ) -> None:
        with pytest.raises(EventTooLargeError):
            decoder.feed(LINE + b"5" + end)

    def test_each_line_costs_its_text_and_one_more(self) -> None:
        text_bytes = len(b"1234") + 1
        decoder = SSEDecoder(max_event_bytes=text_bytes + len(LINE))
        assert decoder.feed(LINE + b"\n" + LINE + b"\n") == []

    @pytest.mark.parametrize(
        "before", [LINE + b"\n\n", b": com", b"data: x\n\nda"], ids=["event", "half", "both"]
    )
    def test_bytes_of_a_finished_stream_do_not_count(
        self, decoder: SSEDecoder, before: bytes
    ) -> None:
        decoder.feed(before)
        decoder.finish()
        assert decoder.feed(LINE) == []

    def test_a_line_that_came_in_pieces_does_not_count_any_more(self, decoder: SSEDecoder) -> None:
        decoder.feed(b": a")
        decoder.feed(b" comm\n")
        assert decoder.feed(LINE) == []


@pytest.mark.parametrize(
    ("pieces", "event"),
    [
        ([b"event: done\nid: 7\ndata: a\n", b"data: ", b"b"], ServerSentEvent("a\nb", "done", "7")),
        ([b"data:  two spaces"], ServerSentEvent(" two spaces")),
        ([b"data: \xff"], ServerSentEvent("\ufffd")),
        ([b"data: a:b"], ServerSentEvent("a:b")),
        ([b"data: whole\n"], ServerSentEvent("whole")),
        ([b"data: a\nevent: x"], ServerSentEvent("a")),
        ([b"event: x\n"], None),
        ([b"data: an event\n\n"], None),
        ([b""], None),
    ],
)
def test_the_event_without_an_empty_line_after_it_can_be_read(
    pieces: list[bytes], event: ServerSentEvent | None
) -> None:
    decoder = SSEDecoder()
    for piece in pieces:
        decoder.feed(piece)
    assert decoder.unfinished() == event
