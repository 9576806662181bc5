"""Finds the requested JSON value in a model's text, which may have prose and code fences around it.

Values are tried in the order of the text, and the first valid one is the answer. Text before it may
contain footnotes or examples, which rarely have the requested shape; text after it is only a
comment. A value inside a thought is a draft and never the answer: see `app.llm.structured.thinking`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from app.llm.structured.thinking import Thinking
from app.streaming.json_stream import JSONLimitError, StreamBuffer
from app.validation import place, reason

M = TypeVar("M", bound=BaseModel)

_MAX_ERRORS = 10
_MAX_REASON_CHARS = 200
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# The only message of Pydantic's that repeats the input.
_REWORDED = {"union_tag_invalid": "the tag is none of the expected ones"}


@dataclass(frozen=True, slots=True)
class AnswerError:
    """One error in an answer. It contains the place of the error, and no text of the model."""

    type: str
    reason: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


class JSONAnswer(Generic[M]):
    """Reads an answer that arrives in pieces. No I/O."""

    def __init__(self, kind: type[M]) -> None:
        self._kind = kind
        self._thinking = Thinking()
        self._buffer = StreamBuffer(next_bracket=self._thinking.next_bracket)
        self._answer: M | None = None
        self._is_replaceable = True  # there is no answer yet, or a thought has ended after it
        self._too_large: JSONLimitError | None = None
        self._longest = ""
        self._errors: list[AnswerError] = []

    def feed(self, text: str) -> M | None:
        """Add `text`, and return the answer so far.

        A later marker may show that the answer was a draft; then the result is `None` again.
        """
        for value in self._values(text):
            self._follow_thoughts()
            if self._is_replaceable:
                self._try(value)
        self._follow_thoughts()
        return self._answer

    def _try(self, value: str) -> None:
        try:
            self._answer = self._kind.model_validate_json(value)
            self._is_replaceable = False
        except ValidationError as error:
            self._note(value, error)

    def _follow_thoughts(self) -> None:
        thinking = self._thinking
        if thinking.was_all:
            self._answer, self._longest, self._errors = None, "", []
        if thinking.was_all or thinking.has_ended:
            self._is_replaceable = True
        thinking.was_all = thinking.has_ended = False

    def finish(self) -> Sequence[AnswerError]:
        """Explain why there is no answer: the errors of the longest value, the likely answer."""
        unfinished = self._buffer.finish()
        if self._too_large is not None:
            return [AnswerError("json_too_large", str(self._too_large))]
        if self._thinking.is_open:
            return [
                AnswerError("thought_unfinished", "the answer ends inside the model's thoughts")
            ]
        if len(unfinished) > len(self._longest):
            return [AnswerError("json_unfinished", "the JSON is broken, or ends in the middle")]
        return self._errors or [
            AnswerError("json_missing", "there is no valid JSON object or array")
        ]

    def _values(self, text: str) -> Iterator[str]:
        if self._too_large is not None:
            return
        try:
            yield from self._buffer.read(text)
        except JSONLimitError as error:
            self._too_large = error

    def _note(self, value: str, error: ValidationError) -> None:
        if len(value) >= len(self._longest):
            self._longest = value
            found = error.errors(include_url=False, include_context=False, include_input=False)
            self._errors = [_answer_error(one) for one in found[:_MAX_ERRORS]]


def _answer_error(found: Mapping[str, Any]) -> AnswerError:
    loc = found["loc"]
    if found["type"] == "extra_forbidden":
        loc = loc[:-1]  # the model invented this name
    said = _REWORDED.get(found["type"]) or reason(found["msg"])
    return AnswerError(found["type"], said[:_MAX_REASON_CHARS], place(loc, _shown_name))


def _shown_name(name: str) -> str:
    """Hide a key that may contain the answer's content."""
    return f".{name}" if _NAME.fullmatch(name) else "[*]"
