"""The value that somebody asked for, in what a model wrote: fenced, announced, explained, or not there.

Values are tried in the order in which they are written, and the first that validates is the answer.
It can be used before the rest is written. What comes before it is a footnote or an example, which
rarely has the wanted shape; what comes behind it is an afterthought.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from app.streaming.json_stream import JSONLimitError, StreamBuffer

M = TypeVar("M", bound=BaseModel)

_MAX_FLAWS = 10
_MAX_REASON_CHARS = 200
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# The one message of Pydantic that repeats what it was given.
_REWORDED = {"union_tag_invalid": "the tag is none of the expected ones"}


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with an answer. It never holds what the model wrote, but where."""

    type: str
    reason: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


class JSONAnswer(Generic[M]):
    """An answer that is being received. No I/O."""

    def __init__(self, kind: type[M]) -> None:
        self._kind = kind
        self._buffer = StreamBuffer()
        self._too_large: JSONLimitError | None = None
        self._longest = ""
        self._flaws: list[Flaw] = []

    def feed(self, text: str) -> M | None:
        """Return the answer when `text` completes it."""
        for value in self._values(text):
            try:
                return self._kind.model_validate_json(value)
            except ValidationError as error:
                self._note(value, error)
        return None

    def finish(self) -> Sequence[Flaw]:
        """Say why there is no answer: what is wrong with the longest value, which was meant."""
        unfinished = self._buffer.finish()
        if self._too_large is not None:
            return [Flaw("json_too_large", str(self._too_large))]
        if len(unfinished) > len(self._longest):
            return [Flaw("json_unfinished", "the JSON is broken, or ends in the middle")]
        return self._flaws or [Flaw("json_missing", "there is no valid JSON object or array")]

    def _values(self, text: str) -> Sequence[str]:
        if self._too_large is not None:
            return ()
        try:
            return self._buffer.feed(text)
        except JSONLimitError as error:
            self._too_large = error
            return ()

    def _note(self, value: str, error: ValidationError) -> None:
        if len(value) >= len(self._longest):
            self._longest = value
            found = error.errors(include_url=False, include_context=False, include_input=False)
            self._flaws = [_flaw(one) for one in found[:_MAX_FLAWS]]


def _flaw(found: Mapping[str, Any]) -> Flaw:
    loc = found["loc"]
    if found["type"] == "extra_forbidden":
        loc = loc[:-1]  # a name that the model made up
    said: str = _REWORDED.get(found["type"]) or found["msg"]
    said = said.removeprefix("Value error, ")
    return Flaw(found["type"], said[:_MAX_REASON_CHARS], "".join(map(_part, loc)).removeprefix("."))


def _part(part: int | str) -> str:
    """Write a place as a programmer would, but no key that may be content."""
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _NAME.fullmatch(part) else "[*]"
