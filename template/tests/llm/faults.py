"""Faults of the wire, and the error for each, for whole and streamed calls."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import (
    LLMError,
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    StreamInterruptedError,
)
from tests.llm.loopback import Reply, hangs, head, resets, sends, whole

JSON, EVENTS, HTML = "application/json", "text/event-stream", "text/html; charset=utf-8"

Kind = type[LLMError]
Bytes = Callable[[bytes, str], Reply]


@dataclass(frozen=True)
class Fault:
    reply: Bytes
    complete: Kind
    stream: Kind


def always(reply: Reply) -> Bytes:
    return lambda _body, _content_type: reply


def chunked(body: bytes, content_type: str) -> bytes:
    return head(content_type, b"Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(body), body)


def zipped(content_type: str, body: bytes) -> bytes:
    return whole(content_type, body, b"Content-Encoding: gzip")


DEEP_EVENT = b"data: " + b"[" * 5_000 + b"\n\n"
PAGE = b"<!doctype html><title>Bad gateway</title>" + b"<p>sorry</p>" * 20_000
FAULTS = {
    "reset": Fault(always(resets), ProviderConnectionError, ProviderConnectionError),
    "closed without a byte": Fault(
        always(sends()), ProviderConnectionError, ProviderConnectionError
    ),
    "hangs": Fault(always(hangs), ProviderTimeoutError, ProviderTimeoutError),
    "garbage": Fault(
        always(sends(b"\x16\x03\x01 what?\r\n\r\n")),
        ProviderConnectionError,
        ProviderConnectionError,
    ),
    "short body": Fault(
        lambda body, kind: sends(whole(kind, body)[: -len(body) + 9]),
        ProviderConnectionError,
        ProviderConnectionError,
    ),
    "bad chunk": Fault(
        lambda _, kind: sends(head(kind, b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n"),
        ProviderConnectionError,
        ProviderConnectionError,
    ),
    "bad gzip": Fault(
        lambda body, kind: sends(zipped(kind, body)), MalformedAnswerError, MalformedAnswerError
    ),
    "gzip bomb": Fault(
        lambda _, kind: sends(zipped(kind, gzip.compress(bytes(5_000_000)))),
        MalformedAnswerError,
        MalformedAnswerError,
    ),
    "not JSON": Fault(
        lambda _, kind: sends(whole(kind, b"data: {nope}\n\n")),
        MalformedAnswerError,
        MalformedAnswerError,
    ),
    "nested too deeply": Fault(
        lambda _, kind: sends(whole(kind, b"[" * 5_000 if kind == JSON else DEEP_EVENT)),
        MalformedAnswerError,
        MalformedAnswerError,
    ),
    "not UTF-8": Fault(
        lambda _, kind: sends(whole(kind, b'data: {"id": "\xff\xfe"}\n\n')),
        MalformedAnswerError,
        StreamInterruptedError,  # the id does not matter, and nothing follows it
    ),
    "empty": Fault(
        lambda _, kind: sends(whole(kind, b"")), MalformedAnswerError, StreamInterruptedError
    ),
    "a page, with status 200": Fault(
        always(sends(whole(HTML, PAGE))), MalformedAnswerError, MalformedAnswerError
    ),
    "a page, with status 502": Fault(
        always(sends(whole(HTML, PAGE, status=b"502 Bad Gateway"))),
        ProviderUnavailableError,
        ProviderUnavailableError,
    ),
    "an error with a body that hangs": Fault(
        always(sends(head(JSON, b"Content-Length: 9", status=b"503 No"), every_s=9, hang_up=False)),
        ProviderUnavailableError,
        ProviderUnavailableError,
    ),
    "a redirect": Fault(
        always(sends(whole(HTML, b"", b"Location: http://127.0.0.1:1/", status=b"307 Elsewhere"))),
        MalformedAnswerError,
        MalformedAnswerError,
    ),
    "huge header": Fault(
        lambda body, kind: sends(whole(kind, body, b"X-Padding: " + b"x" * 500_000)),
        ProviderConnectionError,
        ProviderConnectionError,
    ),
    "one byte at a time": Fault(
        lambda body, kind: sends(
            whole(kind, body)[: -len(body)],
            *[body[i : i + 1] for i in range(60)],
            every_s=0.03,
        ),
        ProviderTimeoutError,
        ProviderTimeoutError,
    ),
    "nothing but comments": Fault(
        lambda _, kind: sends(head(kind), *[b": still here\n\n"] * 60, every_s=0.03),
        ProviderTimeoutError,
        ProviderTimeoutError,
    ),
    "cut off politely": Fault(
        lambda body, kind: sends(head(kind) + body[: len(body) * 2 // 3]),
        MalformedAnswerError,
        StreamInterruptedError,
    ),
    "cut off in the middle of a chunked body": Fault(
        lambda body, kind: sends(chunked(body[: len(body) * 2 // 3], kind)),
        ProviderConnectionError,
        StreamInterruptedError,
    ),
}
