"""Deterministic unit vectors in which texts that share words are close: a hashed bag of words."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

_WORD = re.compile(r"\w+")
# One position per word would make two unrelated words collide in 1 of `size` cases, and then
# look identical; with four signed positions they share at most a part.
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
    """Lower-case words; a text without any (punctuation only) counts as one word."""
    return _WORD.findall(text.lower()) or [text]


def _unit(sums: Counter[int], size: int) -> list[float]:
    """Most of the numbers are zero: only the others cost anything."""
    length = math.hypot(*sums.values())
    if length == 0:  # the signs of all words cancelled out, which small sizes make possible
        sums, length = Counter([0]), 1.0
    vector = [0.0] * size
    for place, value in sums.items():
        vector[place] = value / length
    return vector
