"""JSON values, picked out of text as it arrives. No I/O.

A value is an object or an array at the top level, whatever stands around it: prose, code fences,
other values. Numbers, words and quoted strings that stand alone are not values here: prose is full
of them.

A bracket in prose begins something that soon cannot be JSON. Then the search goes on right behind
the innermost bracket that is still open, because those outside of it fail at the same character.
So every character is looked at no more than three times, however the text is cut into pieces: once
as part of a failure, once more if that began inside what looked like a string, once in a value.
"""

import re

from app.streaming.json_scanner import MAX_DEPTH, JSONScanner, Verdict

MAX_VALUE_CHARS = 4 * 1024 * 1024

_BRACKET = re.compile(r"[\[{]")


class JSONLimitError(ValueError):
    """A value is larger, or nested deeper, than the buffer is willing to follow."""


class StreamBuffer:
    def __init__(self, *, max_chars: int = MAX_VALUE_CHARS, max_depth: int = MAX_DEPTH) -> None:
        self._max_chars = max_chars
        self._max_depth = max_depth
        self._scanner: JSONScanner | None = None  # of the value that has begun
        self._held: list[str] = []  # what earlier pieces had of it
        self._held_chars = 0

    def feed(self, text: str) -> list[str]:
        """Return each value that `text` completes, as the JSON that was written.

        Raises `JSONLimitError`; there is nothing more to be had from the buffer then.
        """
        values = []
        start, at = -self._held_chars, 0
        while self._scanner is not None or (at := _bracket(text, at)) < len(text):
            if self._scanner is None:
                start, self._scanner = at, JSONScanner(self._max_depth)
            scanner = self._scanner
            at = scanner.scan(text, at, min(len(text), start + self._max_chars), start)
            if scanner.verdict is Verdict.COMPLETE:
                values.append(self._released() + text[max(start, 0) : at])
            elif scanner.verdict is Verdict.BROKEN:
                earlier = self._released()
                text, at = earlier + text, start + len(earlier) + scanner.innermost + 1
            else:
                self._check(scanner, at - start)
                self._hold(text[max(start, 0) :])
                break
        return values

    def finish(self) -> str:
        """Return what is left of a value that has begun and not ended: empty, if all have ended."""
        return self._released()

    def _check(self, scanner: JSONScanner, chars: int) -> None:
        if scanner.verdict is Verdict.TOO_DEEP:
            raise JSONLimitError(f"a value is nested deeper than {self._max_depth} levels")
        if chars >= self._max_chars:
            raise JSONLimitError(f"a value is longer than {self._max_chars} characters")

    def _hold(self, piece: str) -> None:
        self._held.append(piece)
        self._held_chars += len(piece)

    def _released(self) -> str:
        held = "".join(self._held)
        self._held.clear()
        self._held_chars = 0
        self._scanner = None
        return held


def _bracket(text: str, at: int) -> int:
    """Where the next value may begin: at the end, if nowhere."""
    found = _BRACKET.search(text, at)
    return len(text) if found is None else found.start()
