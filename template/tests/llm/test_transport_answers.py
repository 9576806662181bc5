"""Answers as odd servers send them: read or refused in the same way by both transports."""

import pytest

from app.errors import (
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderUnavailableError,
)
from app.llm.http import HTTPPolicy
from app.llm.transports.pool import TransportName
from tests.llm.loopback import Reply, loopback, sends
from tests.llm.raw_answers import BODY, CHUNKED, LENGTH, OK, WHOLE, Outcome, outcome

CHUNKS = b"\r\n8\r\n" + BODY + b"\r\n0\r\n\r\n"
BROKEN = ProviderConnectionError

ODD_ANSWERS: dict[str, tuple[bytes, Outcome]] = {
    "no reason": (b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY, BODY),
    "reason in UTF-8": ("HTTP/1.1 200 Süß\r\n".encode() + LENGTH + b"\r\n" + BODY, BODY),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + BODY, BODY),
    "HTTP/0.9": (BODY, BROKEN),
    "ICY": (b"ICY 200 OK\r\n" + LENGTH + b"\r\n" + BODY, BROKEN),
    "status 99": (b"HTTP/1.1 99 X\r\n" + LENGTH + b"\r\n" + BODY, BROKEN),
    "status 2000": (b"HTTP/1.1 2000 X\r\n" + LENGTH + b"\r\n" + BODY, BROKEN),
    "line feeds only": (b"HTTP/1.1 200 OK\nContent-Length: 8\n\n" + BODY, BODY),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, BODY),
    "103 first": (b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\n" + WHOLE, BODY),
    "204": (b"HTTP/1.1 204 N\r\n\r\n", MalformedAnswerError),
    "lengths that differ": (OK + LENGTH + b"Content-Length: 9\r\n\r\n" + BODY, BROKEN),
    "length with a sign": (OK + b"Content-Length: -8\r\n\r\n" + BODY, BROKEN),
    "length too short": (OK + b"Content-Length: 3\r\n\r\n" + BODY, BODY[:3]),
    "more after the body": (WHOLE + b"garbage", BODY),
    "a second answer": (WHOLE + WHOLE, BODY),
    "until the end": (OK + b"\r\n" + BODY, BODY),
    "chunk with an extension": (CHUNKED + b'\r\n8;a="b"\r\n' + BODY + b"\r\n0\r\n\r\n", BODY),
    "chunk that is negative": (CHUNKED + b"\r\n-8\r\n" + BODY, BROKEN),
    "chunk without a line end": (CHUNKED + b"\r\n8\r\n" + BODY + b"0\r\n\r\n", BROKEN),
    "no last chunk": (CHUNKED + b"\r\n8\r\n" + BODY + b"\r\n", BROKEN),
    "trailers": (CHUNKED + CHUNKS[:-2] + b"X-A: b\r\n\r\n", BODY),
    "header in Latin-1": (OK + LENGTH + b"X-A: S\xfc\xdf\r\n\r\n" + BODY, BODY),
    "header with a zero byte": (OK + LENGTH + b"X-A: a\x00b\r\n\r\n" + BODY, BROKEN),
    "header without a colon": (OK + LENGTH + b"nothing\r\n\r\n" + BODY, BROKEN),
    "header of two lines": (OK + LENGTH + b"X-A: 1\r\n  2\r\n\r\n" + BODY, BODY),
    "header of 60 KB": (OK + LENGTH + b"X-A: " + b"x" * 60_000 + b"\r\n\r\n" + BODY, BODY),
    "header of 200 KB": (OK + LENGTH + b"X-A: " + b"x" * 200_000 + b"\r\n\r\n" + BODY, BROKEN),
    "200 headers": (OK + LENGTH + b"X-A: 1\r\n" * 200 + b"\r\n" + BODY, BODY),
    "unknown encoding": (OK + b"Content-Encoding: foo\r\n" + LENGTH + b"\r\n" + BODY, BODY),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", BROKEN),
    "alert of TLS": (b"\x15\x03\x01\x00\x02\x02F", BROKEN),
    "500 and a chunk that is none": (
        b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ProviderUnavailableError,
    ),
}

# Answers that only one of the libraries accepts.
DIFFERENT: dict[str, tuple[bytes, dict[TransportName, Outcome]]] = {
    "the length twice": (
        OK + LENGTH + LENGTH + b"\r\n" + BODY,
        {"aiohttp": BROKEN, "httpx2": BODY},
    ),
    "a length and chunks": (CHUNKED + LENGTH + CHUNKS, {"aiohttp": BROKEN, "httpx2": BODY}),
    "blank lines first": (b"\r\n\r\n" + WHOLE, {"aiohttp": BODY, "httpx2": BROKEN}),
    "blank before the colon": (
        OK + b"Content-Length : 8\r\n\r\n" + BODY,
        {"aiohttp": BODY, "httpx2": BROKEN},
    ),
}


def byte_by_byte(answer: bytes) -> Reply:
    return sends(*[answer[place : place + 1] for place in range(len(answer))])


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize(("answer", "expected"), ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
async def test_an_odd_answer_is_read_or_refused(answer: bytes, expected: Outcome) -> None:
    async with loopback(sends(answer)) as server:
        assert await outcome(server, HTTPPolicy(request_timeout_s=2)) == expected


# A longer answer takes long, and has the same lines as a shorter one.
SHORT = {name: case for name, case in ODD_ANSWERS.items() if len(case[0]) <= 5000}


@pytest.mark.slow
@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize(("answer", "expected"), SHORT.values(), ids=SHORT.keys())
async def test_the_size_of_the_pieces_changes_nothing(answer: bytes, expected: Outcome) -> None:
    async with loopback(byte_by_byte(answer)) as server:
        assert await outcome(server, HTTPPolicy(request_timeout_s=2)) == expected


@pytest.mark.parametrize("name", ["aiohttp", pytest.param("httpx2", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("answer", "expected"), DIFFERENT.values(), ids=DIFFERENT.keys())
async def test_the_libraries_differ_where_the_decision_says_so(
    answer: bytes, expected: dict[TransportName, Outcome], name: TransportName
) -> None:
    async with loopback(sends(answer)) as server:
        policy = HTTPPolicy(request_timeout_s=2, transport=name)
        assert await outcome(server, policy) == expected[name]


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("start", [OK, CHUNKED], ids=["length", "chunks"])
async def test_an_answer_that_arrives_faster_than_it_is_read_needs_no_end_of_the_connection(
    start: bytes,
) -> None:
    """The library stops parsing while its buffer is full, and goes on when a reader has caught up."""
    body = b"x" * 3_000_000
    answer = (
        start + b"\r\n2DC6C0\r\n" + body + b"\r\n0\r\n\r\n"
        if start is CHUNKED
        else start + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    async with loopback(sends(answer, hang_up=False)) as server:
        assert await outcome(server, HTTPPolicy(request_timeout_s=2)) == body
