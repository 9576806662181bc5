"""The mock's idea of a token: a word or one punctuation mark, with the whitespace before it.

Cutting loses nothing: the pieces joined are the text again. Streams send one piece per chunk,
`max_tokens` counts pieces, and so does the usage that is reported.
"""

import re

_PIECE = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")


def split(text: str) -> list[str]:
    return _PIECE.findall(text)


def count(text: str) -> int:
    return sum(1 for _ in _PIECE.finditer(text))
