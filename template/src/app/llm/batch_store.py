"""Where submitted batches are remembered, so that a restart continues them and pays for none twice."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

_MOST_DIGITS = 9


class Sent(NamedTuple):
    """A request of a batch: the caller's id for it, and a hash of what was sent."""

    id: str
    digest: str


class Submission(BaseModel):
    """A batch, from the moment before it is sent. Without `batch_id` it may or may not have arrived.

    The provider knows the request at the position n as `key-n`. `released` are the positions of
    requests that got no answer, and that may be sent again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    provider: str
    created_at: datetime
    sent: tuple[Sent, ...]
    batch_id: str | None = None
    released: frozenset[int] = frozenset()

    @property
    def is_over(self) -> bool:
        return len(self.released) >= len(self.sent)

    def custom_id(self, position: int) -> str:
        return f"{self.key}-{position}"

    def position(self, custom_id: str | None) -> int | None:
        """The position of a request, or `None` if this batch has no such request."""
        key, _, text = (custom_id or "").rpartition("-")
        if key != self.key or not (text.isascii() and text.isdecimal()):
            return None
        position = int(text[:_MOST_DIGITS])
        return position if position < len(self.sent) and str(position) == text else None

    def release(self, positions: Sequence[int] | range) -> "Submission":
        return self.model_copy(update={"released": self.released | {*positions}})


class BatchStore(Protocol):
    def load(self) -> Sequence[Submission]:
        """The last state of each submission, the oldest first."""
        ...

    def save(self, submission: Submission, /) -> None:
        """Remember a state. It is safe when this returns."""
        ...


class MemoryBatchStore:
    """Submissions of this process alone."""

    def __init__(self) -> None:
        self._kept: dict[str, Submission] = {}

    def load(self) -> Sequence[Submission]:
        return [*self._kept.values()]

    def save(self, submission: Submission) -> None:
        self._kept[submission.key] = submission


class UnusableBatchStoreError(Exception):
    """A file that was not written by `FileBatchStore`."""


class FileBatchStore:
    """Submissions in a file. Each state is one line at its end, and the last one of a key counts.

    A process that is killed leaves whole lines; a machine that loses power leaves at most a part of
    the last one, which is dropped. The caller ensures that one process at a time writes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Sequence[Submission]:
        content = self._path.read_bytes() if self._path.exists() else b""
        kept: dict[str, Submission] = {}
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            if line.endswith(b"\n"):
                submission = self._read(line, number)
                kept[submission.key] = submission
        return [*kept.values()]

    def save(self, submission: Submission) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab", buffering=0) as file:
            os.truncate(file.fileno(), self._whole())
            file.write(submission.model_dump_json().encode() + b"\n")
            os.fsync(file.fileno())

    def _whole(self) -> int:
        """The size without a line that was cut off."""
        return self._path.read_bytes().rfind(b"\n") + 1

    def _read(self, line: bytes, number: int) -> Submission:
        try:
            return Submission.model_validate_json(line)
        except ValidationError as error:
            message = f"{self._path}:{number}: not a submission: {error.errors()[0]['msg']}"
            raise UnusableBatchStoreError(message) from None
