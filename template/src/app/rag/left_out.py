"""Chunks and files that are left out of the index, so that the others can be searched."""

import time
from collections.abc import Callable

import structlog

from app.errors import LLMError, MalformedAnswerError, RequestRefusedError
from app.rag.chunks import Chunk

_log = structlog.get_logger(__name__)

# A chunk that could not be embedded is tried again after this time, when the index is built again.
_LEFT_OUT_S = 3600.0


class LeftOut:
    """A chunk is left out if the provider refuses it, or returns an unusable vector for it twice.

    A document that cannot be read is left out too. Each of these is logged once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._malformed: set[str] = set()  # the keys of chunks with one unusable vector so far
        self._since: dict[str, float] = {}  # the time of leaving out, by the key of the chunk
        self._warned: set[tuple[str, str]] = set()

    @property
    def keys(self) -> set[str]:
        """The keys of the chunks that are not tried now."""
        since = self._clock() - _LEFT_OUT_S
        return {key for key, at in self._since.items() if at > since}

    def add(self, chunk: Chunk, error: LLMError) -> bool:
        """Leave out a chunk that would fail again; return whether it is left out.

        One malformed answer may be an accident. After a second one, each question would pay for it.
        """
        again = isinstance(error, MalformedAnswerError) and chunk.key in self._malformed
        if isinstance(error, MalformedAnswerError):
            self._malformed.add(chunk.key)
        if not again and not isinstance(error, RequestRefusedError):
            return False
        self._since[chunk.key] = self._clock()
        self.warn(chunk.id, error.message)
        return True

    def clear(self) -> None:
        """Try all chunks again, with another model."""
        self._malformed.clear()
        self._since.clear()

    def warn(self, name: str, why: str) -> None:
        """Log each failure only once: every question tries to read the failed files again."""
        if (name, why) not in self._warned:
            self._warned.add((name, why))
            _log.warning("retrieval.left_out", name=name, why=why)
