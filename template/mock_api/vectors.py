"""Deterministic unit vectors, close for texts that share words: a hashed bag of words."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

_WORD = re.compile(r"\w+")
# With one position per word, two unrelated words would look identical in 1 of `size` cases. With
# four signed positions they share only a part at most.
_POSITIONS = 4


def embed(words: Iterable[str], size: int) -> list[float]:
    sums: Counter[int] = Counter()
    for word in words:
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for place in range(_POSITIONS):
            value = int.from_bytes(digest[2 * place : 2 * place + 2], "little")
            sums[(value >> 1) % size] += 1 if value & 1 else -1
    return _unit(sums, size)


def words_of(text: str) -> list[str]:
    """The words in lower case; a text without words (only punctuation) counts as one word."""
    return _WORD.findall(text.lower()) or [text]


def _unit(sums: Counter[int], size: int) -> list[float]:
    """The vector of length 1. Most numbers are zero, and only the others are computed."""
    length = math.hypot(*sums.values())
    if length == 0:  # the signs of all words can cancel out if the size is small
        sums, length = Counter([0]), 1.0
    vector = [0.0] * size
    for place, value in sums.items():
        vector[place] = value / length
    return vector
