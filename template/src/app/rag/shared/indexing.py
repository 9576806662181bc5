"""Builds the index that the processes share, one process at a time."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from app.errors import DocumentsNotReadyError, LLMError, MalformedAnswerError
from app.rag.chunks import Chunk
from app.rag.left_out import LeftOut
from app.rag.shared.index import Build, SharedIndex, batches
from app.rag.shared.manifest import Folder, Manifest
from app.rag.types import Embed, Embedded, EmbeddingSpace

_log = structlog.get_logger(__name__)

# Texts that are embedded together, and are lost if the process ends before the answer. Their vectors
# take 6 MB as lists of 768 numbers.
_TEXTS_AT_ONCE = 256
# Until a request succeeds, only a sample is sent: see `app.rag.indexing`.
_SAMPLE_TEXTS = 8
_KEYS_AT_ONCE = 5000
_POLL_S = 0.5


class SharedIndexer:
    """Makes the shared index equal to a folder. Only texts without a vector are embedded."""

    def __init__(self, folder: Path, chunk_chars: int, embed: Embed, index: SharedIndex) -> None:
        self._left_out = LeftOut()
        self._folder = Folder(folder, chunk_chars, self._left_out.warn)
        self._embed = embed
        self._index = index
        self._manifest: Manifest | None = None

    async def manifest(self) -> Manifest:
        """The chunks of the folder, which is read once. Raises `DocumentsNotReadyError`."""
        if self._manifest is None:
            self._manifest = await asyncio.to_thread(self._folder.manifest)
        return self._manifest

    async def build(self, space: EmbeddingSpace) -> None:
        """Build the index for a space, or wait until another process has built it.

        The vectors may be of another space than the question's, if the model has changed since.
        Raises as `app.rag.indexing.Indexer.index` does.
        """
        manifest = await self.manifest()
        while not await self._is_built(space, manifest):
            async with self._index.lease() as token:
                if token is None:
                    await asyncio.sleep(_POLL_S)
                elif not await self._is_built(space, manifest):
                    await self._build(space, manifest, token)
                    return

    async def _is_built(self, space: EmbeddingSpace, manifest: Manifest) -> bool:
        state, current = await self._index.published(space)
        return state is not None and current == space and state.fingerprint == manifest.fingerprint

    async def _build(self, space: EmbeddingSpace, manifest: Manifest, token: str) -> None:
        started = time.perf_counter()
        filling = _Filling(await self._begin(space, token), manifest)
        await filling.ask()
        while any(wanted := self._wanted(filling)):
            await self._fill(filling, wanted, token)
        ids = filling.ids
        if manifest.ids and not ids:
            raise MalformedAnswerError(
                "None of the documents could be embedded; the log has the reasons."
            )
        await filling.build.publish(ids, manifest.fingerprint)
        published = sum(map(len, ids.values()))
        _log.info(
            "retrieval.indexed",
            chunks=published,
            embedded=filling.embedded,
            left_out=sum(map(len, manifest.ids.values())) - published,
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )

    async def _begin(self, space: EmbeddingSpace, token: str, *, changes: bool = False) -> Build:
        state, current = await self._index.published(space)
        build = await self._index.begin(token, space)
        if changes or (state is None and current not in {None, space}):
            await build.allow_model()
            self._left_out.clear()
            _log.warning("retrieval.model_changed", model=space.model, dimension=space.dimension)
        return build

    def _wanted(self, filling: "_Filling") -> bytearray:
        """The positions to embed next: a sample first. If it had to be left out, nothing more is sent."""
        left_out = self._left_out.keys
        known, ids = filling.known, filling.manifest.ids
        if any(known):
            return bytearray(
                not is_known and key not in left_out
                for key, is_known in zip(ids, known, strict=True)
            )
        wanted = bytearray(len(ids))
        if not left_out:
            every = max(1, len(ids) // _SAMPLE_TEXTS)
            for place in range(0, len(ids), every)[:_SAMPLE_TEXTS]:
                wanted[place] = True
        return wanted

    async def _fill(self, filling: "_Filling", wanted: bytearray, token: str) -> None:
        """Embed texts until all are known, or until a vector of another model makes all missing."""
        found = self._folder.batches(filling.manifest.ids, wanted, _TEXTS_AT_ONCE)
        while chunks := await asyncio.to_thread(next, found, None):
            # Not kept in a variable: the vectors of two batches would be in memory.
            texts = [chunk.text for chunk in chunks]
            if await self._learn(filling, chunks, await self._embed(texts), token):
                return
        if any(wanted):
            self._manifest = None
            raise DocumentsNotReadyError("The documents have changed.", retry_after_s=1.0)

    async def _learn(
        self, filling: "_Filling", chunks: Sequence[Chunk], answer: Embedded, token: str
    ) -> bool:
        """Store the vectors before any error is raised, because they are paid for.

        Return whether they are of another space than the earlier ones.
        """
        vectors: dict[Chunk, Sequence[float]] = {}
        failed: list[tuple[Chunk, LLMError]] = []
        for chunk, item in zip(chunks, answer.items, strict=True):
            if isinstance(item, LLMError):
                failed.append((chunk, item))
            else:
                vectors[chunk] = item
        has_changed = False
        if vectors:
            space = EmbeddingSpace(answer.model, len(next(iter(vectors.values()))))
            has_changed = space != filling.build.space
            if has_changed:
                filling.build = await self._begin(space, token, changes=True)
                await filling.ask()
            await filling.build.add(list(vectors), list(vectors.values()))
            filling.learn(chunk.key for chunk in vectors)
            filling.embedded += len(vectors)
        errors = [error for chunk, error in failed if not self._left_out.add(chunk, error)]
        if errors:
            raise errors[0]
        return has_changed


@dataclass(slots=True)
class _Filling:
    """A build, and the texts of its manifest that have a vector: `known`, by their positions."""

    build: Build
    manifest: Manifest
    known: bytearray = field(default_factory=bytearray)
    embedded: int = 0

    async def ask(self) -> None:
        """Ask the store for all texts, some at a time."""
        self.known = bytearray(len(self.manifest.ids))
        for some in batches(self.manifest.ids, _KEYS_AT_ONCE):
            self.learn(await self.build.known(some))

    def learn(self, keys: Iterable[str]) -> None:
        for key in keys:
            if (place := self.manifest.ids.position(key)) is not None:
                self.known[place] = True

    @property
    def ids(self) -> Mapping[str, Sequence[str]]:
        """The ids of the known texts: all, except for those that had to be left out."""
        ids = self.manifest.ids
        if all(self.known):
            return ids
        return {key: ids[key] for key, known in zip(ids, self.known, strict=True) if known}
