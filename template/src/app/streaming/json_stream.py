"""Finds JSON values in text that arrives in pieces. No I/O.

A value is an object or array at the top level; the text around it may be prose, code fences or
other values. Numbers, words and quoted strings at the top level are ignored, because prose is full
of them.

After a bracket in prose, the text soon stops being valid JSON. The search then continues directly
after the innermost bracket that is still open, because the outer brackets fail at the same
character. So each character is read at most three times, however the text is split: once as part of
a failure, once more if that failure began inside an apparent string, and once in a value.
"""

import re
from collections.abc import Callable, Iterator

from app.streaming.json_scanner import MAX_DEPTH, JSONScanner, Verdict

MAX_VALUE_CHARS = 4 * 1024 * 1024

_BRACKET = re.compile(r"[\[{]")


class JSONLimitError(ValueError):
    """A value is longer, or nested more deeply, than the limit of the buffer."""


# Finds the next possible beginning of a value, from an offset on. Returns its offset (the end of
# the text if there is none), and the offset from which to read again with the next piece.
NextBracket = Callable[[str, int], tuple[int, int]]


def _bracket(text: str, at: int) -> tuple[int, int]:
    found = _BRACKET.search(text, at)
    return (len(text) if found is None else found.start()), len(text)


class StreamBuffer:
    """Buffers text and returns complete JSON values. `next_bracket` can skip parts of the text."""

    def __init__(
        self,
        *,
        max_chars: int = MAX_VALUE_CHARS,
        max_depth: int = MAX_DEPTH,
        next_bracket: NextBracket = _bracket,
    ) -> None:
        self._next_bracket = next_bracket
        self._undecided = ""  # text after the last value, to be read again with the next piece
        self._max_chars = max_chars
        self._max_depth = max_depth
        self._scanner: JSONScanner | None = None  # of the value that has begun, if any
        self._held: list[str] = []  # the parts of this value in earlier pieces
        self._held_chars = 0

    def feed(self, text: str) -> list[str]:
        """Return each value that `text` completes, as its original JSON text.

        Raises `JSONLimitError`; the buffer cannot be used after that.
        """
        return list(self.read(text))

    def read(self, text: str) -> Iterator[str]:
        """Like `feed`, but yields each value before it reads on. Iterate it to the end."""
        text, self._undecided = self._undecided + text, ""
        start, at = -self._held_chars, 0
        while True:
            if self._scanner is None:
                at, again = self._next_bracket(text, at)
                if at == len(text):
                    self._undecided = text[again:]
                    break
                start, self._scanner = at, JSONScanner(self._max_depth)
            scanner = self._scanner
            at = scanner.scan(text, at, min(len(text), start + self._max_chars), start)
            if scanner.verdict is Verdict.COMPLETE:
                yield self._released() + text[max(start, 0) : at]
            elif scanner.verdict is Verdict.BROKEN:
                earlier = self._released()
                text, at = earlier + text, start + len(earlier) + scanner.innermost + 1
            else:
                self._check(scanner, at - start)
                self._hold(text[max(start, 0) :])
                break

    def finish(self) -> str:
        """Return the text of an incomplete value; empty if all values are complete."""
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
