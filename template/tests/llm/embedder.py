"""A model for embeddings that has limits, takes its time, and refuses some texts."""

import asyncio
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from app.errors import LLMError, RequestRefusedError
from app.llm.types import EmbeddingRequest, Embeddings
from app.testing import FakeChatModel


@dataclass
class Embedder(FakeChatModel):
    refuses: Container[str] = ()
    fails: Mapping[str, LLMError] = field(default_factory=dict)
    hangs: bool = False
    calls: list[tuple[str, ...]] = field(default_factory=list, init=False)
    running: int = field(default=0, init=False)
    most_running: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        super().__init__()

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        self.calls.append(request.texts)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(3600 if self.hangs else 0)
            return await self._answer(request)
        finally:
            self.running -= 1

    async def _answer(self, request: EmbeddingRequest) -> Embeddings:
        for text in request.texts:
            if text in self.fails:
                raise self.fails[text]
            if text in self.refuses:
                raise RequestRefusedError("a text is too long for the model", status=400)
        return await super().embed(request)
