"""The mock's tokens: a word or one punctuation mark, with the whitespace before it.

Joined pieces are the original text again. Streams send one piece per chunk, and `max_tokens` and
the reported usage count pieces.
"""

import re

_PIECE = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")


def split(text: str) -> list[str]:
    return _PIECE.findall(text)


def count(text: str) -> int:
    return sum(1 for _ in _PIECE.finditer(text))
