"""Both providers' streams have the same result when the network cuts them at any byte."""

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pytest

from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.openai.streaming import StreamedCompletion
from app.llm.providers.streamed import StreamedAnswer
from app.llm.types import LLMResponse
from app.streaming.sse import SSEDecoder
from tests.llm.samples import ANTHROPIC, OPENAI, PIECES, Sample

GRAMMARS: list[tuple[Sample, Callable[[], StreamedAnswer]]] = [
    (OPENAI, StreamedCompletion),
    (ANTHROPIC, StreamedMessage),
]
both = pytest.mark.parametrize(
    ("sample", "grammar"), GRAMMARS, ids=[sample.name for sample, _ in GRAMMARS]
)


def read(grammar: Callable[[], StreamedAnswer], pieces: Iterable[bytes]) -> tuple[object, ...]:
    decoder, answer = SSEDecoder(), grammar()
    texts = [answer.feed(event) for piece in pieces for event in decoder.feed(piece)]
    assert decoder.finish()
    return [text for text in texts if text], answer.response()


def whole(sample: Sample) -> tuple[list[str], LLMResponse]:
    return PIECES, sample.response


def cut_at(stream: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    return (stream[start:end] for start, end in pairwise([0, *sorted(cuts), len(stream)]))


@both
def test_every_cut_into_two_gives_the_same_answer(
    sample: Sample, grammar: Callable[[], StreamedAnswer]
) -> None:
    for cut in range(len(sample.stream) + 1):
        assert read(grammar, cut_at(sample.stream, [cut])) == whole(sample), cut


@pytest.mark.slow
@both
def test_a_thousand_random_cuttings_give_the_same_answer(
    sample: Sample, grammar: Callable[[], StreamedAnswer]
) -> None:
    chance = random.Random(7)  # noqa: S311 - cuts, not secrets
    for _ in range(1000):
        cuts = chance.sample(range(len(sample.stream)), k=chance.randrange(1, 100))
        assert read(grammar, cut_at(sample.stream, cuts)) == whole(sample), cuts


@both
def test_each_line_ending_gives_the_same_answer(
    sample: Sample, grammar: Callable[[], StreamedAnswer]
) -> None:
    for end in (b"\r", b"\r\n"):
        stream = sample.stream.replace(b"\n", end)
        assert read(grammar, cut_at(stream, range(1, len(stream)))) == whole(sample), end
