"""Documents in pieces that are small enough to be compared with a question, and to be quoted.

A piece never crosses a heading of Markdown, and begins with the headings that it stands under:
what `Limits` are is clear only below `Deploy`. A long section becomes several, which overlap a
little, so that what stands at a cut is whole in one of them.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from app.retrieval.documents import Document

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_NO_SLUG = re.compile(r"[^\w\- ]")
# Of a piece, the headings above it take at most a quarter, and what it repeats is an eighth.
_HEADINGS_SHARE = 4
_OVERLAP_SHARE = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """`id` says where it is: `deploy.md#rolling-updates/2` is the second piece of that section."""

    id: str
    text: str

    @property
    def key(self) -> str:
        """Equal for equal texts only, wherever they stand."""
        return sha256(self.text.encode()).hexdigest()


@dataclass(slots=True)
class _Section:
    anchor: str
    headings: tuple[str, ...]
    lines: list[str] = field(default_factory=list)


def chunks_of(document: Document, max_chars: int) -> Iterator[Chunk]:
    """Cut a document into pieces of at most `max_chars` characters, its headings included."""
    for section in _sections(document):
        heading = " > ".join(section.headings)[: max_chars // _HEADINGS_SHARE]
        heading = f"{heading}\n\n" if heading else ""
        body = "\n".join(section.lines).strip()
        for number, piece in enumerate(_pieces(body, max_chars - len(heading)), start=1):
            yield Chunk(f"{section.anchor}/{number}", heading + piece)


def _sections(document: Document) -> Iterator[_Section]:
    """Split at headings, except where a fence says that a `#` is somebody's comment."""
    slugs: Counter[str] = Counter()
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
        level, title = len(heading[1]), heading[2]
        levels = [*((above, text) for above, text in levels if above < level), (level, title)]
        anchor = f"{document.name}#{_slug(title, slugs)}"
        section = _Section(anchor, tuple(text for _, text in levels))
    yield section


def _fence_after(line: str, fence: str) -> str:
    """Tell which fence is open after this line: one ends with the marks that it began with."""
    marks = _FENCE.match(line)
    if marks is None:
        return fence
    if not fence:
        return marks[1]
    closes = marks[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _slug(title: str, slugs: Counter[str]) -> str:
    """Name a section as GitHub does, so that the id is the end of a link that works."""
    slug = _NO_SLUG.sub("", title.lower()).replace(" ", "-")
    slugs[slug] += 1
    return slug if slugs[slug] == 1 else f"{slug}-{slugs[slug] - 1}"


def _pieces(text: str, max_chars: int) -> Iterator[str]:
    overlap = max_chars // _OVERLAP_SHARE
    while len(text) > max_chars:
        end = _cut(text, max_chars)
        yield text[:end].rstrip()
        text = text[_word_start(text, end - overlap, end) :].lstrip()
    if text:
        yield text


def _cut(text: str, max_chars: int) -> int:
    """Find where to cut: between paragraphs, else lines, else words, and not in the first half."""
    for mark in ("\n\n", "\n", " "):
        end = text.rfind(mark, max_chars // 2, max_chars + 1)
        if end > 0:
            return end
    return max_chars


def _word_start(text: str, start: int, end: int) -> int:
    """Find where a word begins, at `start` or after it; without one there is no overlap."""
    for place in range(start, end):
        if text[place - 1].isspace():
            return place
    return end
