"""Splits documents into chunks that are small enough to be compared with a question and quoted.

A chunk never crosses a Markdown heading, and begins with the headings above it: the meaning of
`Limits` is clear only under `Deploy`. A long section becomes several chunks that overlap a little,
so that text at a boundary is complete in one of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from app.rag.documents import Document

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_NO_SLUG = re.compile(r"[^\w\- ]")
# The headings take at most a quarter of a chunk, and the overlap takes an eighth.
_HEADINGS_SHARE = 4
_OVERLAP_SHARE = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document. The id `deploy.md#rolling-updates/2` is the second of that section."""

    id: str
    text: str

    @property
    def key(self) -> str:
        """A key of the text: equal texts have equal keys, wherever they stand."""
        return sha256(self.text.encode()).hexdigest()


@dataclass(slots=True)
class _Section:
    anchor: str
    headings: tuple[str, ...]
    lines: list[str] = field(default_factory=list)


def chunks_of(document: Document, max_chars: int) -> Iterator[Chunk]:
    """Cut a document into chunks of at most `max_chars` characters, including the headings."""
    for section in _sections(document):
        heading = " > ".join(section.headings)[: max_chars // _HEADINGS_SHARE]
        heading = f"{heading}\n\n" if heading else ""
        body = "\n".join(section.lines).strip()
        for number, piece in enumerate(_pieces(body, max_chars - len(heading)), start=1):
            yield Chunk(f"{section.anchor}/{number}", heading + piece)


def _sections(document: Document) -> Iterator[_Section]:
    """Split at headings, except inside a code fence, where a line with `#` may be a comment."""
    slugs: dict[str, int] = {}  # the number of sections with each slug
    section = _Section(document.name, ())
    levels: list[tuple[int, str]] = []
    fence = ""
    for line in document.text.splitlines():
        heading = None if fence else _HEADING.match(line)
        if heading is None:
            fence = _fence_after(line, fence)
            section.lines.append(line)
            continue
        yield section
        level, title = len(heading[1]), _title(heading[2])
        levels = [*((above, text) for above, text in levels if above < level), (level, title)]
        anchor = f"{document.name}#{_slug(title, slugs)}"
        section = _Section(anchor, tuple(text for _, text in levels))
    yield section


def _title(text: str) -> str:
    """Remove the marks that may close a heading. A regular expression would take quadratic time."""
    text = text.rstrip(" \t")
    return text.rstrip("#").rstrip(" \t")


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open after this line; a fence ends with the marks that it began with."""
    marks = _FENCE.match(line)
    if marks is None:
        return fence
    if not fence:
        return marks[1]
    closes = marks[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _slug(title: str, slugs: dict[str, int]) -> str:
    """Make the anchor of a section as GitHub does, so that the id works as the end of a link."""
    plain = slug = _NO_SLUG.sub("", title.lower()).replace(" ", "-")
    while slug in slugs:
        slugs[plain] += 1
        slug = f"{plain}-{slugs[plain]}"
    slugs[slug] = 0
    return slug


def _pieces(text: str, max_chars: int) -> Iterator[str]:
    overlap = max_chars // _OVERLAP_SHARE
    start = 0
    while len(text) - start > max_chars:
        end = start + _cut(text[start : start + max_chars + 1], max_chars)
        yield text[start:end].rstrip()
        start = _word_start(text, end - overlap, end)
        while text[start].isspace():
            start += 1
    if text:
        yield text[start:]


def _cut(text: str, max_chars: int) -> int:
    """Find a place to cut after the first half: between paragraphs, else lines, else words."""
    for mark in ("\n\n", "\n", " "):
        end = text.rfind(mark, max_chars // 2, max_chars + 1)
        if end > 0:
            return end
    return max_chars


def _word_start(text: str, start: int, end: int) -> int:
    """Find the start of a word at `start` or later. Without one there is no overlap."""
    for place in range(start, end):
        if text[place - 1].isspace():
            return place
    return end
