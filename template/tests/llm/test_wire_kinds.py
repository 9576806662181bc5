"""A tolerant reader and a strict core: each field in each wrong form, and each stream cut everywhere.

The expected outcome is computed from the wire type: a field that the converter can do without never
costs an answer, and one that it needs never makes a wrong one.
"""

from collections.abc import Callable, Iterator
from itertools import chain

import pytest

from app.errors import LLMError
from app.llm.event_body import EventBody
from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.openai.streaming import StreamedCompletion
from app.llm.providers.streamed import StreamedAnswer
from tests.llm.samples import JSONObject, frame
from tests.llm.wire_cases import (
    ANTHROPIC_EVENTS,
    CASES,
    ENDS,
    OPENAI_EVENTS,
    PROVIDERS,
    Case,
    Outcome,
    meaning,
    outcome,
)
from tests.llm.wire_kinds import (
    ABSENT,
    GONE,
    WRONG,
    Field,
    changed,
    fields,
    names,
    with_unknown_fields,
)


def is_part_of(got: Outcome, whole: Outcome) -> bool:
    """Whether an answer has nothing that the whole one does not have."""
    if isinstance(got, type) or isinstance(whole, type):
        return isinstance(got, type)
    letters = iter(str(whole[0]))
    return all(letter in letters for letter in str(got[0]))


def flaws(case: Case) -> Iterator[str]:
    """Each form of each field with an outcome that differs from the one of its type."""
    good = outcome(lambda: case.read(case.sample))
    for field in fields(case.kind, case.sample):
        with_form = {form: with_value(case, field, value) for form, value in WRONG.items()}
        outcomes = {"good": good, "dropped": with_form["gone"]}
        for form, got in with_form.items():
            if not is_right(case, field, form, {**outcomes, "got": got}):
                yield f"{field.name} {form}: {got}, without it {with_form['gone']}"


def with_value(case: Case, field: Field, value: object) -> Outcome:
    return outcome(lambda: case.read(changed(case.sample, field.path, value)))


def is_right(case: Case, field: Field, form: str, outcomes: dict[str, Outcome]) -> bool:
    got, good = outcomes["got"], outcomes["good"]
    if form == "gone":
        can_do_without = field.is_lax and not (case.streamed and field.path[-1] in ENDS)
        return got == good if can_do_without else is_part_of(got, good)
    read = field.read(WRONG[form])
    if (field.is_required and read is None) or read is GONE:
        return isinstance(got, type)
    if read is None or (form in ABSENT and not field.is_required):
        return got == outcomes["dropped"]
    return True  # another value that is right, such as another text


@pytest.mark.parametrize("case", CASES)
def test_a_sample_is_understood(case: Case) -> None:
    assert not isinstance(outcome(lambda: case.read(case.sample)), type)


@pytest.mark.parametrize("case", CASES)
def test_each_wrong_form_of_each_field_has_the_outcome_that_its_type_says(case: Case) -> None:
    assert list(flaws(case)) == []


@pytest.mark.parametrize("case", CASES)
def test_unknown_fields_change_nothing(case: Case) -> None:
    good = outcome(lambda: case.read(case.sample))
    assert outcome(lambda: case.read(with_unknown_fields(case.sample))) == good


@pytest.mark.parametrize("provider", PROVIDERS)
def test_there_are_500_wrong_forms_of_each_provider(provider: str) -> None:
    found = [field for case in PROVIDERS[provider] for field in fields(case.kind, case.sample)]
    assert len(found) * len(WRONG) >= 500


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_samples_have_every_field_of_the_wire_types(provider: str) -> None:
    cases = PROVIDERS[provider]
    declared = set(chain.from_iterable(names(case.kind) for case in cases))
    seen = {field.place for case in cases for field in fields(case.kind, case.sample)}
    assert declared - seen == set()


@pytest.mark.parametrize(
    ("make", "events", "last"),
    [
        (StreamedCompletion, OPENAI_EVENTS, 7),
        (StreamedMessage, ANTHROPIC_EVENTS, 14),
    ],
    ids=PROVIDERS,
)
def test_a_stream_cut_at_any_byte_is_a_success_only_after_its_finish(
    make: Callable[[], StreamedAnswer], events: list[JSONObject | str], last: int
) -> None:
    frames = [frame(str(e.get("type", "")) if isinstance(e, dict) else "", e) for e in events]
    stream = b"".join(frames)
    finish = len(b"".join(frames[: last + 1])) - len(b"\n\n")
    whole = cut(make(), stream)
    assert not isinstance(whole, type)
    for length in range(len(stream)):
        got = cut(make(), stream[:length])
        assert got == (whole if length >= finish else LLMError), stream[:length][-80:]


def cut(answer: StreamedAnswer, stream: bytes) -> Outcome:
    """The outcome of a body that ends there."""
    body = EventBody()
    events = body.feed(stream)
    for event in [*events, *body.finish()[0]]:
        answer.feed(event)
    return meaning(answer.response(closed=True))
