import re
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.rag.chunks import Chunk, chunks_of
from app.rag.documents import Document

QUICK = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])

GUIDE = """\
What this is about.

# Deploy

## Rolling updates

One at a time.

```sh
# not a heading
```

## Limits ##

### CPU & memory

Half a core.

# Limits

None.
"""


def chunks(text: str, max_chars: int = 400) -> list[Chunk]:
    return list(chunks_of(Document("deploy.md", text), max_chars))


def test_a_chunk_is_named_after_its_section_and_begins_with_its_headings() -> None:
    assert chunks(GUIDE) == [
        Chunk("deploy.md/1", "What this is about."),
        Chunk(
            "deploy.md#rolling-updates/1",
            "Deploy > Rolling updates\n\nOne at a time.\n\n```sh\n# not a heading\n```",
        ),
        Chunk("deploy.md#cpu--memory/1", "Deploy > Limits > CPU & memory\n\nHalf a core."),
        Chunk("deploy.md#limits-1/1", "Limits\n\nNone."),
    ]


@pytest.mark.parametrize(
    "fenced",
    [
        pytest.param("```\n# x\n```", id="backticks"),
        pytest.param("~~~text\n```\n# x\n~~~", id="tildes around backticks"),
        pytest.param("````\n```\n# x\n````", id="four around three"),
        pytest.param("```\n``` sh\n# x\n```", id="a fence with a language does not close"),
        pytest.param("```\n# never closed", id="to the end"),
    ],
)
def test_a_comment_in_a_fence_is_no_heading(fenced: str) -> None:
    assert [chunk.id for chunk in chunks(fenced)] == ["deploy.md/1"]


def test_after_a_fence_headings_are_headings_again() -> None:
    ids = [chunk.id for chunk in chunks("```\n# x\n```\n# After\ntext")]
    assert ids == ["deploy.md/1", "deploy.md#after/1"]


def test_equal_headings_have_anchors_of_their_own() -> None:
    ids = [chunk.id for chunk in chunks("# A\n1\n# A\n2\n# A-1\n3\n# A\n4")]
    assert ids == [f"deploy.md#{slug}/1" for slug in ("a", "a-1", "a-1-1", "a-2")]


@pytest.mark.parametrize("line", ["#hashtag", "#", "####### seven", "    # code"])
def test_a_line_that_resembles_a_heading_is_text(line: str) -> None:
    assert [chunk.id for chunk in chunks(f"{line}\ntext")] == ["deploy.md/1"]


def test_a_long_section_is_cut_between_paragraphs() -> None:
    first, second = "a " * 70, "b " * 70
    texts = [chunk.text for chunk in chunks(f"# T\n{first}\n\n{second}", 203)]
    assert texts[0] == f"T\n\n{first.strip()}"
    assert texts[1].endswith(second.strip())


def test_text_at_a_cut_is_in_both_chunks() -> None:
    words = [f"word{number:03}" for number in range(100)]
    pieces = [chunk.text.split() for chunk in chunks(" ".join(words), 200)]
    for before, after in pairwise(pieces):
        shared = [word for word in before if word in after]
        assert shared == before[-len(shared) :] == after[: len(shared)]
        assert 1 <= len(shared) <= 3


def test_equal_texts_have_equal_keys_wherever_they_stand() -> None:
    one, two, other = Chunk("a.md/1", "text"), Chunk("b.md/7", "text"), Chunk("a.md/1", "Text")
    assert one.key == two.key != other.key


words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=30)
lines = st.one_of(
    words, words.map(lambda text: f"# {text}"), st.sampled_from(["", "```", "x" * 999])
)


@QUICK
@given(text=st.lists(lines, max_size=40).map("\n".join), max_chars=st.integers(200, 500))
def test_any_text_becomes_small_pieces_with_names_of_their_own(text: str, max_chars: int) -> None:
    found = chunks(text, max_chars)
    assert all(0 < len(chunk.text) <= max_chars for chunk in found)
    assert len({chunk.id for chunk in found}) == len(found)


@QUICK
@given(
    paragraphs=st.lists(st.lists(st.integers(0, 10**12), min_size=1, max_size=60), max_size=8),
    max_chars=st.integers(200, 500),
)
def test_no_word_is_lost_or_changed(paragraphs: list[list[int]], max_chars: int) -> None:
    text = "\n\n".join(" ".join(map(str, paragraph)) for paragraph in paragraphs)
    kept = {word for chunk in chunks(text, max_chars) for word in chunk.text.split()}
    assert kept == set(re.findall(r"\d+", text))


@pytest.mark.parametrize(
    "text",
    ["word " * 800_000, "# " + "#" * 100_000 + " x\ntext"],
    ids=["one section of 4 MB", "a heading of 100,000 marks"],
)
def test_the_time_grows_with_the_length_only(text: str) -> None:
    """By the square it would be seconds and minutes. A collection of garbage may be in the time."""
    started = time.process_time()
    assert list(chunks_of(Document("a.md", text), 1200))
    assert time.process_time() - started < 2
