"""Find keys of some 380 kinds by the rules in `key_rules.json`.

The template writes that file from a catalog of rules, and updates of the project renew it.

A *form* begins like no ordinary text (`ghp_…`). A *named* value has no form of its own, and follows
the name of a vendor and a sign (`COHERE_API_KEY=…`, `"cohere": "…"`).

Hundreds of searches would take 70 µs per line. So a line is first searched for a long word, the
only place where a key can be. Around that word, the first three characters of each word and of the
name before it select the rules, and each of these is tried at one place. The time is therefore
proportional to the length of the text, and none of the rules is compiled before it is needed.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

# So many letters, digits, `_`, `-` and `+` in a row are a long word. All keys have one, except a few
# that `redaction` knows by other signs; names of fields and most names of models are shorter.
LONG = b"x" * 24
_OF_A_KEY = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+"
# Letters of keys become `x`, all others a space: `find(LONG)` is the fastest search for a long word.
WORDS = bytes(ord("x") if each in _OF_A_KEY else ord(" ") for each in range(256))

# Ids of requests and traces are long words, and are in most lines: `"trace_id":"…"`, `trace_id=…`.
ID = re.compile(
    rb"(?:(?<=_id\":\")|(?<=_id=))(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w+-])"
)
# A form can begin before its long word (`SG.…`, `hooks.slack.com/services/T…/B…/…`) and behind its
# beginning (`my_ghp_…`). Text without an end to its words, as base64, is not searched any further.
_BEFORE = 64
_WITHIN = 256
# A key begins where a word begins. In a finished line this can also be after a JSON escape, which
# ends in a letter, or after a terminal's colour code, raw or escaped.
ESCAPED = (
    rb"|(?<=\\[bfnrt])|(?<=\\u00[0-9a-f]{2})"
    rb"|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm)|(?<=\\u001b\[\dm)|(?<=\\u001b\[\d\dm))"
)
_START_CHARS = 3
_START = rb"(?=([A-Za-z0-9$_]{2}[\w.$-]))"
_WORD = re.compile(rb"(?<![A-Za-z0-9])" + _START)
_ESCAPED_WORD = re.compile(rb"(?:(?<![A-Za-z0-9])" + ESCAPED + _START)
_ESCAPE = re.compile(rb"[\\\x1b]")
_VALUE_CHARS = _OF_A_KEY + b"./~"
_NAME_CHARS = _OF_A_KEY + b" \t."
_SIGNS = b"\"'`=:>,|?\\ \t\r\n"
_A_SIGN = re.compile(rb"[=:>,|]")
_OF_BASE64 = 40
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{%d}" % _OF_BASE64)
_DIGIT_OR_CAPITAL = re.compile(rb"[0-9A-Z]")


class Found(NamedTuple):
    """A key in a text, from `start` to `end`. The first `shown` characters tell its kind only."""

    start: int
    end: int
    shown: int
    kind: str


class _Rule:
    def __init__(self, kind: str, pattern: str, name: str = "", least_entropy: float = 0) -> None:
        self.kind = kind
        self.least_entropy = least_entropy
        self._pattern, self._name = pattern, name

    @cached_property
    def key(self) -> re.Pattern[bytes]:
        return re.compile(self._pattern.encode())

    @cached_property
    def name(self) -> re.Pattern[bytes]:
        return re.compile(self._name.encode())


class _Rules:
    """All rules by the first characters of the key, or of the name before it."""

    def __init__(self) -> None:
        path = Path(__file__).with_name("key_rules.json")
        read: dict[str, list[Any]] = json.loads(path.read_text(encoding="utf-8"))
        self.forms: dict[bytes, list[_Rule]] = {}
        self.named: dict[bytes, list[_Rule]] = {}
        for kind, starts, pattern in read["forms"]:
            _add(self.forms, starts, _Rule(kind, pattern))
        for kind, starts, name, value, least in read["named"]:
            _add(self.named, starts, _Rule(kind, value, name, least))


def _add(rules: dict[bytes, list[_Rule]], starts: list[str], rule: _Rule) -> None:
    for start in starts:
        rules.setdefault(start.encode(), []).append(rule)


@lru_cache(maxsize=1)
def _rules() -> _Rules:
    return _Rules()


def found(text: bytes, long: bytes = LONG) -> Iterator[Found]:
    """The keys in a text, in order, without overlaps."""
    done = 0
    for start, end in _long_words(text, long):
        while done < end and (key := _next(text, done, start, end)) is not None:
            yield key
            done = key.end
        done = max(done, end)


def masked_keys(text: bytes) -> bytes:
    """The text with `***` in place of each key, after the characters that tell its kind."""
    pieces = []
    done = 0
    for key in found(text):
        pieces += [text[done : key.start + key.shown], b"***"]
        done = key.end
    return b"".join([*pieces, text[done:]]) if pieces else text


def _long_words(text: bytes, long: bytes) -> Iterator[tuple[int, int]]:
    words = text.translate(WORDS)
    start = words.find(long)
    while start >= 0:
        end = words.find(b" ", start)
        end = len(words) if end < 0 else end
        if not ID.match(text, start):
            yield start, end
        start = words.find(long, end)


def _next(text: bytes, done: int, start: int, end: int) -> Found | None:
    """The first key at or before a long word, but not before `done`."""
    within = min(end, max(done, start) + _WITHIN)
    return _form(text, max(done, start - _BEFORE), within) or _named(text, done, max(done, start))


def _form(text: bytes, start: int, end: int) -> Found | None:
    forms = _rules().forms
    words = _ESCAPED_WORD if _ESCAPE.search(text, start, end) else _WORD  # twice as fast
    for word in words.finditer(text, start, end):
        for rule in forms.get(word[1], ()):
            key = rule.key.match(text, word.start())
            if key and _looks_like_a_key(text, word, key.end()):
                return Found(key.start(), key.end(), _START_CHARS, rule.kind)
    return None


def _looks_like_a_key(text: bytes, start: re.Match[bytes], end: int) -> bool:
    """Words joined by `_` have a key's length, but no digits. Base64 has each beginning by chance."""
    if not _DIGIT_OR_CAPITAL.search(text, start.end(1), end):
        return False
    return not _BASE64.match(text, max(0, start.start() - _OF_BASE64), start.start())


def _named(text: bytes, done: int, start: int) -> Found | None:
    """The value that contains `text[start]`, if a name and a sign are before it."""
    before = text[max(done, start - _BEFORE) : start]
    head = before.rstrip(_VALUE_CHARS)  # `sl.…`: a value can begin before its long word
    name = head.rstrip(_SIGNS)
    if not _A_SIGN.search(head, len(name)):
        return None
    at = start - len(before) + len(head)
    for rule in _named_rules(name[len(name.rstrip(_NAME_CHARS)) :]):
        key = rule.key.match(text, at)
        if key and entropy(key.group()) >= rule.least_entropy:
            return Found(key.start(), key.end(), 0, rule.kind)
    return None


@lru_cache(maxsize=512)  # most names are fields of our own lines
def _named_rules(name: bytes) -> tuple[_Rule, ...]:
    lowered = name.lower()
    named = _rules().named
    starts = {lowered[at : at + _START_CHARS] for at in range(len(lowered))}
    known = {rule.kind: rule for start in starts for rule in named.get(start, ())}
    return tuple(rule for rule in known.values() if rule.name.search(lowered))


def entropy(value: bytes) -> float:
    """Bits per character (Shannon): 4 at most in hexadecimal, 2 to 3 in words, 5 in a long key."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())
