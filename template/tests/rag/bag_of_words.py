"""A fake `Embed` with inspectable calls: its vectors count a few words."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from app.errors import LLMError
from app.rag.types import Embedded

WORDS = ("cat", "dog", "bird", "fish")


@dataclass
class BagOfWords:
    """`fails` are errors by the text they are for.

    All calls wait for `opens`, or only those with one of `slow_texts`. All fail with `broken`, or
    only those with more texts than `broken_above`.
    """

    model: str = "words"
    words: Sequence[str] = WORDS
    fails: Mapping[str, LLMError] = field(default_factory=dict)
    broken: LLMError | None = None
    broken_above: int = 0
    opens: asyncio.Event | None = None
    slow_texts: Collection[str] = ()
    calls: list[list[str]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    waits: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, texts: Sequence[str]) -> Embedded:
        self.calls.append(list(texts))
        self.called.set()
        if self.opens is not None and self._is_slow(texts):
            self.waits.set()
            await self.opens.wait()
        if self.broken is not None and len(texts) > self.broken_above:
            raise self.broken
        return Embedded(self.model, [self._item(text) for text in texts])

    def _is_slow(self, texts: Sequence[str]) -> bool:
        return not self.slow_texts or any(text in self.slow_texts for text in texts)

    def _item(self, text: str) -> list[float] | LLMError:
        counts = [float(text.split().count(word)) for word in self.words]
        return self.fails.get(text, counts)

    @property
    def asked(self) -> list[str]:
        return [text for call in self.calls for text in call]
