"""Batches of texts through the whole stack, to a provider that is a function."""

import asyncio
import json
from pathlib import Path

import httpx2 as httpx

from app.rag.answering import open_documents
from app.rag.policy import DocumentsPolicy
from app.settings import Settings
from app.wiring import open_service

TEXTS = [f"text {number}" for number in range(1000)]


class Upstream:
    """OpenAI's embeddings: lists of one number, the length of the text."""

    def __init__(self, *statuses: int) -> None:
        self.calls: list[list[str]] = []
        self.running = self.most_running = 0
        self._statuses = list(statuses)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        texts = json.loads(request.content)["input"]
        self.calls.append(texts)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        status = self._statuses.pop(0) if self._statuses else 200
        return httpx.Response(status, json=_answer(texts))


def _answer(texts: list[str]) -> dict[str, object]:
    data = [
        {"object": "embedding", "index": index, "embedding": [float(len(text))]}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "data": data, "model": "m", "usage": usage}


async def lengths(upstream: Upstream, texts: list[str], **values: object) -> list[object]:
    quick = {"base_delay_s": 0.001, "max_delay_s": 0.001}
    settings = Settings(retry=quick, **values)  # type: ignore[arg-type]  # by name
    async with open_service(settings, transport=httpx.MockTransport(upstream)) as service:
        batch = await service.embeddings.embed(texts)
    return [None if isinstance(item, Exception) else item[0] for item in batch.items]


async def test_a_batch_leaves_most_connections_to_others() -> None:
    upstream = Upstream()
    assert await lengths(upstream, TEXTS, max_concurrency=8) == [len(text) for text in TEXTS]
    assert upstream.most_running == 2


async def test_the_smallest_pool_is_enough() -> None:
    assert await lengths(Upstream(), TEXTS, max_concurrency=1) == [len(text) for text in TEXTS]


async def test_only_the_call_that_failed_is_made_again() -> None:
    upstream = Upstream(200, 503, 200)
    assert await lengths(upstream, TEXTS) == [len(text) for text in TEXTS]
    asked = [text for call in upstream.calls for text in call]
    assert len(asked) == len(TEXTS) + len(upstream.calls[1])


async def test_the_first_provider_that_has_embeddings_is_asked() -> None:
    upstream = Upstream()
    assert await lengths(upstream, ["one"], llm_providers="anthropic,openai") == [3]


async def test_documents_are_embedded_again_for_another_address(tmp_path: Path) -> None:
    """Two servers may give different models the same name, and their vectors cannot be compared."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nA text.")
    documents = DocumentsPolicy(dir=folder, index_path=tmp_path / "index", min_score=-1)
    texts: dict[str, list[str]] = {}
    for address in ("http://one.test/v1", "http://one.test/v1", "http://two.test/v1"):
        upstream = texts.setdefault(address, [])
        await _search(address, documents, upstream)
    assert sum("A text." in text for text in texts["http://one.test/v1"]) == 1
    assert sum("A text." in text for text in texts["http://two.test/v1"]) == 1


async def _search(address: str, documents: DocumentsPolicy, seen: list[str]) -> None:
    upstream = Upstream()
    policy = {"base_url": address, "model": "m"}
    settings = Settings(openai=policy)  # type: ignore[arg-type]  # by name
    async with (
        open_service(settings, transport=httpx.MockTransport(upstream)) as service,
        open_documents(service.chat, service.embeddings, documents) as answering,
    ):
        await answering.library.search("A question", 1)
    seen += [text for call in upstream.calls for text in call]
