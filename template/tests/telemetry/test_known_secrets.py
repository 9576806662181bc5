import base64
import html
import json
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest

from app.telemetry.redaction import (
    KNOWN,
    KnownSecrets,
    StreamedText,
    masked,
    masked_text,
    preview,
)

KEYS = {
    "without a form": "Zq8LmN2vXc4Rt7Yp",
    "hexadecimal": "0123456789abcdef0123456789abcdef",
    "a UUID": "6f1d2c3b-aaaa-4bbb-8ccc-0123456789ab",
    "eight characters": "k3yk3y88",
    "four characters": "k3y!",
    "digits": "1234567890123",
    "patterns": "a.b*c+d?(e)[f]^$|g",
    "quotes": "a\"b'c\\d`e",
    "signs of URLs and HTML": "p@ss/w:rd&<x>=1 %2F#é",
    "known by form": "sk-proj-Zq8LmN2vXc4Rt7Yp",
}
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as a bearer": lambda key: f"Bearer {key}",
    "in a word": lambda key: f"x{key}y",
    "as JSON": json.dumps,
    "as JSON in UTF-8": lambda key: json.dumps(key, ensure_ascii=False),
    "as JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "as PHP writes JSON": lambda key: json.dumps(key).replace("/", "\\/"),
    "as Python": repr,
    "as Python in JSON": lambda key: json.dumps(repr(key)),
    "as HTML": html.escape,
    "in a URL": lambda key: f"https://host/?key={quote(key, safe='')}&x",
    "in a path": quote,
    "in a form": quote_plus,
    "in a URL in lower case": lambda key: quote(key, safe="").lower() if "%" in quote(key) else key,
}


@pytest.fixture(params=list(KEYS.values()), ids=list(KEYS))
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_value_is_masked_however_it_is_written(key: str) -> None:
    for name, write in WRITTEN.items():
        text = f'said: {write(key)}, "again" {write(key)}.'
        if write(key) == quote(key, safe="").lower() and key.lower() != key:
            continue  # of a value in lower case, capitals are lost
        if key.isdecimal() and name == "in a word":
            text = f"said x{key}y"
        with KNOWN.holding([key]):
            for shown in (masked(text.encode()).decode(), masked_text(text), KNOWN.hide(text)):
                assert write(key) not in shown, name
                assert "***" in shown
        assert KNOWN.hide(text) == text


@pytest.mark.parametrize("key", [key for key in KEYS.values() if len(key) >= 8])
@pytest.mark.parametrize("user", ["", "u", "us", "user", "api-user"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_value_is_masked_as_basic_authentication(
    user: str, encode: Callable[[bytes], bytes], key: str
) -> None:
    """Fewer bytes are so few characters of base64 that other base64 has them by chance."""
    encoded: str = encode(f"{user}:{key}".encode()).decode()
    with KNOWN.holding([key]):
        for text in (encoded, f"Basic {encoded}", f"x {encode(key.encode()).decode()} y"):
            assert "***" in KNOWN.hide(text)
            assert masked_text(text) == masked_text(KNOWN.hide(text))
            assert len(KNOWN.hide(text).replace("***", "")) <= len(text) - len(key)


@pytest.mark.parametrize(
    "text",
    ["true", '{"created":1234567890123456,"score":0.1234567890123}', "ollama at 127.0.0.1", "abc"],
)
def test_text_without_a_secret_is_unchanged(text: str) -> None:
    with KNOWN.holding(["true", "1234567890123", "ollama", "mock", "EMPTY", "abc", ""]):
        assert KNOWN.hide(text) == text == masked(text.encode()).decode()


def test_two_services_in_one_process_are_both_masked() -> None:
    known = KnownSecrets()
    with known.holding(["first-key"]):
        with known.holding(["second-key", "first-key"]):
            assert known.hide("first-key second-key") == "*** ***"
        assert known.hide("first-key second-key") == "*** second-key"
    assert known.hide("first-key second-key") == "first-key second-key"


def test_the_longest_value_is_masked_as_a_whole() -> None:
    known = KnownSecrets()
    known.add(["password", "redis://user:password@host/0"])
    assert known.hide("at redis://user:password@host/0") == "at ***"


def streamed(known: KnownSecrets, pieces: list[str]) -> list[str]:
    text = StreamedText(known)
    return [*map(text.feed, pieces), text.finish()]


def test_a_value_split_anywhere_is_masked(key: str) -> None:
    known = KnownSecrets()
    known.add([key])
    text = f"The key {key} is {key[:3]}, {key}-{key}."
    whole = known.hide(text)
    for size in range(1, len(text)):
        cuts = [*range(0, len(text), size), len(text)]
        pieces = [text[start:end] for start, end in pairwise(cuts)]
        assert "".join(streamed(known, pieces)) == whole
    for at in range(len(text)):
        assert "".join(streamed(known, [text[:at], text[at:]])) == whole


def test_only_a_possible_beginning_of_a_secret_is_held_back() -> None:
    known = KnownSecrets()
    known.add(["Zq8LmN2vXc4Rt7Yp"])
    assert streamed(known, ["Hello ", "Zq", "8L", "x ", "end"]) == ["Hello ", "", "", "Zq8Lx ", "end", ""]  # fmt: skip
    assert streamed(known, ["ends in Zq8"]) == ["ends in ", "Zq8"]


def test_a_preview_is_masked_before_it_is_cut() -> None:
    with KNOWN.holding(["Zq8LmN2vXc4Rt7Yp"]):
        assert preview("x" * 76 + "Zq8LmN2vXc4Rt7Yp", 80) == "x" * 76 + "***"


def test_bytes_that_are_no_text_stay() -> None:
    with KNOWN.holding(["Zq8LmN2vXc4Rt7Yp"]):
        assert KNOWN.hide_bytes(b"\xff\x00Zq8LmN2vXc4Rt7Yp\xfe") == b"\xff\x00***\xfe"
