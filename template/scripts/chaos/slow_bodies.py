"""Bodies that were slow to check before there were limits: the slowest took 55 s, the fastest 90 ms.

`make chaos` sends them to the container, and tests/api/test_slow_input.py to the service in its own
process, where it measures each step of the event loop.
"""

import json

# As long as a body may be, and as many combining marks in a row as Unicode allows (UAX 15).
# tests/api/test_slow_input.py compares both with the service.
MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_MARKS = 30

MARKS = "\u0301\u0316"
_LEGAL = "a" + MARKS * (MAX_MARKS // 2)


def filled(unit: str, head: str, tail: str, separator: str = ",") -> bytes:
    """Repeat a unit until the body is as long as a body may be."""
    room = MAX_BODY_BYTES - len((head + tail).encode()) - 10
    times = room // len((unit + separator).encode())
    return (head + separator.join([unit] * times) + tail).encode()


def _message(text: str) -> str:
    return json.dumps({"role": "user", "content": text}, ensure_ascii=False)


def _chat_of(text: str) -> bytes:
    return filled(_message(text[:100_000]), '{"messages":[', "]}")


def _unknown_fields(count: int) -> str:
    return ",".join(f'"k{number}":0' for number in range(count))


def _encoded(**body: object) -> bytes:
    return json.dumps(body).encode()


CHAT = {
    "marks, in one text": _message(MARKS * 400_000).join(['{"messages":[', "]}"]).encode(),
    "marks, as many as a text may have": _chat_of(MARKS * 50_000),
    "legal marks": _chat_of(_LEGAL * 3_300),
    "letters with one mark": _chat_of("e\u0301" * 50_000),
    "escaped marks": filled(
        "\\u0301\\u0316", '{"messages":[{"role":"user","content":"', '"}]}', ""
    ),
    "line breaks": _chat_of("\r\n" * 50_000),
    "150,000 unknown fields": b"{%b}" % _unknown_fields(150_000).encode(),
    "19,000 unknown fields": b"{%b}" % _unknown_fields(19_000).encode(),
    "19,000 unknown fields of a message": b'{"messages":[{%b}]}' % _unknown_fields(19_000).encode(),
    "200 messages of 90 unknown fields": json.dumps(
        {"messages": [{f"k{number}": 0 for number in range(90)}] * 200}
    ).encode(),
    "empty lists": filled("[]", "[", "]"),
    "empty objects": filled("{}", '{"messages":[', "]}"),
    "ones": filled("1", '{"messages":[', "]}"),
    "brackets": b"[" * MAX_BODY_BYTES,
    "objects in objects": filled('{"a":', "", "", ""),
    "digits": filled("9", '{"temperature":', "}", ""),
    "decimals": filled("9", '{"temperature":0.', "}", ""),
    "long numbers": filled("9" * 4_000, "[", "]"),
    "long fractions": filled("2.2250738585072011" + "7" * 700 + "e-308", "[", "]"),
    "half surrogate pairs": filled("\\ud800", '{"model":"', '"}', ""),
    "a long name": filled("x", '{"model":"', '"}', ""),
    "a long key": filled("x", '{"', '":0}', ""),
    "quotes": filled('\\"', '{"model":"', '"}', ""),
    "words like secrets": _chat_of("password sk- eyJ https:// AIza Bearer api_key\\\\" * 2_000),
}
OTHERS = {
    ("/v1/embeddings", "marks"): _encoded(texts=[MARKS * 16_000] * 5),
    ("/v1/embeddings", "legal marks"): filled(json.dumps(_LEGAL * 1_000), '{"texts":[', "]}"),
    ("/v1/embeddings", "numbers"): _encoded(texts=[1] * 10_000),
    ("/v1/embeddings", "empty texts"): _encoded(texts=[""] * 10_000),
    ("/v1/ask", "marks"): _encoded(question=MARKS * 16_000),  # feature: ask
    ("/v1/ask", "legal marks"): _encoded(question=_LEGAL * 1_000),  # feature: ask
    ("/v1/extract", "marks"): _encoded(text=MARKS * 50_000),  # feature: extract
    ("/v1/extract", "legal marks"): _encoded(text=_LEGAL * 3_200),  # feature: extract
}
