"""`make walk`: the ways of a request are those that it says, and short enough to read."""

import asyncio
from pathlib import Path

import pytest

from scripts.walk.__main__ import main
from scripts.walk.pages import PAGE, as_page, as_text
from scripts.walk.recorder import Walk
from scripts.walk.ways import WAYS, walks

MAX_STEPS = 35  # of a plain answer; lower it when the way gets shorter
MAX_LINES_OF_THE_PAGE = 150

_OPENAI, _ANTHROPIC = "llm/providers/openai/client.py", "llm/providers/anthropic/client.py"


@pytest.fixture(scope="module")
def taken() -> dict[str, Walk]:
    return asyncio.run(walks(list(WAYS)))


def test_a_plain_answer_takes_few_steps(taken: dict[str, Walk]) -> None:
    assert len(taken["plain"].steps) <= MAX_STEPS
    assert taken["plain"].files.count(_OPENAI) == 1
    assert taken["plain"].events == ["llm.call", "http.request"]


def test_every_step_has_a_purpose(taken: dict[str, Walk]) -> None:
    steps = [step for walk in taken.values() for step in walk.steps]
    assert [step for step in steps if not step.purpose] == []


def test_a_cached_answer_passes_no_provider(taken: dict[str, Walk]) -> None:
    assert not {_OPENAI, _ANTHROPIC} & {*taken["cached"].files}
    (call,) = [step for step in taken["cached"].steps if step.name == "llm.call"]
    assert call.purpose == "provider=openai outcome=cached"


def test_a_retried_call_passes_the_guards_below_the_retry_twice(taken: dict[str, Walk]) -> None:
    files = taken["retried"].files
    assert files.count(_OPENAI) == files.count("llm/guards/rate_limited.py") == 2
    assert files.count("llm/guards/retrying.py") == 1
    assert "llm.retry" in taken["retried"].events


def test_a_call_that_falls_back_passes_the_guards_of_both_providers(
    taken: dict[str, Walk],
) -> None:
    files = taken["fallen-back"].files
    assert files.index(_OPENAI) < files.index(_ANTHROPIC)
    assert files.count("llm/guards/retrying.py") == 2
    assert "llm.fallback" in taken["fallen-back"].events


def test_a_streamed_answer_passes_the_event_stream(taken: dict[str, Walk]) -> None:
    assert "api/event_stream.py" in taken["streamed"].files
    assert "api/event_stream.py" not in taken["plain"].files


def test_steps_that_are_those_of_a_plain_answer_are_named_once(taken: dict[str, Walk]) -> None:
    text = as_text(taken)
    assert text.count("Retrying.around") == 3  # plain, the fallback's second provider, streamed
    assert "steps 1 to" in text
    assert as_text({"cached": taken["cached"]}).splitlines()[1].startswith("  1  api/")


def test_the_page_is_that_of_the_code(taken: dict[str, Walk]) -> None:
    written = (Path(__file__).parents[1] / PAGE).read_text()
    assert as_page(taken) == written, f"the way has changed: make walk PAGE={PAGE}"


def test_the_page_is_short_enough_to_read(taken: dict[str, Walk]) -> None:
    assert len(as_page(taken).splitlines()) <= MAX_LINES_OF_THE_PAGE


def test_an_unknown_way_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAY", "sideways")
    with pytest.raises(SystemExit, match="no way sideways; choose one of: plain, cached, retried"):
        main()
