"""A scanner for JSON (RFC 8259) in text that arrives in pieces. No I/O; the text is not stored.

Python's own parser needs the whole text. This scanner tells after every piece whether the value is
complete, or can no longer become valid. Regular expressions skip ordinary characters quickly.
"""

import re
from collections.abc import Callable
from enum import Enum, auto

MAX_DEPTH = 100

_SPACE = re.compile(r"[ \t\n\r]+")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')  # inside a string
_WORD = re.compile(r"[-+.0-9A-Za-z]+")  # a number, true, false, null, or an invalid word
_SCALAR = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null", re.ASCII
)
_ESCAPE = re.compile(r'["\\/bfnrt]|u[0-9A-Fa-f]{4}')
_ESCAPE_SO_FAR = re.compile(r"u[0-9A-Fa-f]{0,3}")

# The characters with which the next token may begin.
_ANY_VALUE = '"{[-0123456789tfn'
_ITEM_OR_END = _ANY_VALUE + "]"
_KEY_OR_END = '"}'
_KEY = '"'
_COLON = ":"
_AFTER_VALUE = {"}": ",}", "]": ",]"}


_Reader = Callable[[str, int, int], int]  # (text, from, to) to the offset after the last read one


class Verdict(Enum):
    UNFINISHED = auto()
    COMPLETE = auto()
    BROKEN = auto()  # no continuation can make it valid JSON
    TOO_DEEP = auto()


class JSONScanner:
    """Scans one array or object. `innermost` is the offset of the last bracket still open."""

    def __init__(self, max_depth: int = MAX_DEPTH) -> None:
        self._max_depth = max_depth
        self.verdict = Verdict.UNFINISHED
        self._read: _Reader = self._token
        self._expected = "{["
        self._open: list[tuple[str, int]] = []  # each bracket's closing character and offset
        self._start = 0
        self._escape = ""
        self._word: list[str] = []

    @property
    def innermost(self) -> int:
        return self._open[-1][1]

    def scan(self, text: str, at: int, end: int, start: int) -> int:
        """Scan `text` from `at` to `end`, and return the offset after the last character read.

        `start` is the offset at which the value begins; negative if that was in an earlier text.
        """
        self._start = start
        while at < end and self.verdict is Verdict.UNFINISHED:
            at = self._read(text, at, end)
        return at

    def _token(self, text: str, at: int, end: int) -> int:
        at = _behind(_SPACE, text, at, end)
        if at == end:
            return at
        char = text[at]
        if char not in self._expected:
            self.verdict = Verdict.BROKEN
            return at
        return self._begin(char, at)

    def _begin(self, char: str, at: int) -> int:
        match char:
            case "{":
                self._push("}", at, _KEY_OR_END)
            case "[":
                self._push("]", at, _ITEM_OR_END)
            case "}" | "]":
                self._pop()
            case ",":
                self._expected = _KEY if self._open[-1][0] == "}" else _ANY_VALUE
            case ":":
                self._expected = _ANY_VALUE
            case '"':
                self._read = self._string
            case _:
                self._read = self._scalar
                return at
        return at + 1

    def _push(self, closing: str, at: int, expected: str) -> None:
        if len(self._open) == self._max_depth:
            self.verdict = Verdict.TOO_DEEP
        self._open.append((closing, at - self._start))
        self._expected = expected

    def _pop(self) -> None:
        self._open.pop()
        if self._open:
            self._expected = _AFTER_VALUE[self._open[-1][0]]
        else:
            self.verdict = Verdict.COMPLETE

    def _string(self, text: str, at: int, end: int) -> int:
        at = _behind(_PLAIN, text, at, end)
        if at == end:
            return at
        if text[at] == '"':
            is_key = "{" not in self._expected
            self._expected = _COLON if is_key else _AFTER_VALUE[self._open[-1][0]]
            self._read = self._token
        elif text[at] == "\\":
            self._escape = ""
            self._read = self._escaped
        else:
            self.verdict = Verdict.BROKEN
            return at
        return at + 1

    def _escaped(self, text: str, at: int, _end: int) -> int:
        self._escape += text[at]
        if _ESCAPE.fullmatch(self._escape):
            self._read = self._string
        elif not _ESCAPE_SO_FAR.fullmatch(self._escape):
            self.verdict = Verdict.BROKEN
            return at
        return at + 1

    def _scalar(self, text: str, at: int, end: int) -> int:
        stop = _behind(_WORD, text, at, end)
        self._word.append(text[at:stop])
        if stop == end:
            return stop  # the word may continue in the next piece
        if _SCALAR.fullmatch("".join(self._word)):
            self._expected = _AFTER_VALUE[self._open[-1][0]]
            self._read = self._token
        else:
            self.verdict = Verdict.BROKEN
        self._word.clear()
        return stop


def _behind(pattern: re.Pattern[str], text: str, at: int, end: int) -> int:
    found = pattern.match(text, at, end)
    return at if found is None else found.end()
