from pathlib import Path

import pytest

from evals.__main__ import HERE
from evals.cases import BadDataSetError, read_cases
from tests.evals.examples import case

GOOD = '{"id": "one", "question": "Which?", "expect": {"contains": ["yes"]}}'


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    return tmp_path / "some.jsonl"


def test_a_case_is_a_line_and_empty_lines_are_none(data_set: Path) -> None:
    data_set.write_text(f"\n{GOOD}\n\n{GOOD.replace('one', 'two')}", encoding="utf-8")
    assert [(each.id, each.kind) for each in read_cases(data_set)] == [
        ("one", "chat"),
        ("two", "chat"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("{", "Invalid JSON", id="half-a-line"),
        pytest.param("[]", "should be an object", id="a-list"),
        pytest.param(GOOD.replace("question", "query"), "question: Field required", id="field"),
        pytest.param(GOOD.replace("Which?", " "), "question: ", id="empty-question"),
        pytest.param(GOOD.replace('"one"', '"../one"'), "id: ", id="a-path-for-an-id"),
        pytest.param(GOOD.replace("contains", "contain"), "expect.contain: ", id="mistyped"),
        pytest.param(GOOD.replace('["yes"]', '"yes"'), "expect.contains: ", id="no-list"),
        pytest.param(GOOD.replace('"contains": ["yes"]', ""), "chat takes", id="no-expectation"),
        pytest.param(
            GOOD.replace('"contains": ["yes"]', '"documents": ["a.md"]'),
            "chat takes contains and exact and json_schema",
            id="of-another-kind",
        ),
        pytest.param(
            GOOD.replace('"contains": ["yes"]', '"json_schema": {"type": "text"}'),
            "expect.json_schema: is not a JSON schema",
            id="no-schema",
        ),
        pytest.param(GOOD, "id: one is there already", id="twice"),
    ],
)
def test_a_bad_line_is_named_with_the_reason(data_set: Path, line: str, reason: str) -> None:
    data_set.write_text(f"{GOOD}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(BadDataSetError) as refusal:
        read_cases(data_set)
    assert str(refusal.value).startswith(f"{data_set}:3: ")
    assert reason in str(refusal.value)


def test_all_bad_lines_are_named_at_once(data_set: Path) -> None:
    data_set.write_text("{\n" * 30, encoding="utf-8")
    with pytest.raises(BadDataSetError) as refusal:
        read_cases(data_set)
    lines = str(refusal.value).splitlines()
    assert lines[1].startswith(f"{data_set}:2: ")
    assert lines[-1] == "… and 10 more"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", ":1: there is no case in it", id="empty"),
        pytest.param(GOOD.encode() + b"\n\xff\n", ":2: not UTF-8", id="bytes"),
        pytest.param(None, ".jsonl: No such file", id="missing"),
    ],
)
def test_a_file_without_cases_is_refused(
    data_set: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        data_set.write_bytes(content)
    with pytest.raises(BadDataSetError, match=reason):
        read_cases(data_set)


def test_the_fingerprint_of_a_case_covers_its_question_and_not_its_expectation() -> None:
    assert case("a").fingerprint == case("b", tags=["x"]).fingerprint
    assert case("a").fingerprint != case("a", question="Really?").fingerprint


@pytest.mark.parametrize("path", [*(HERE / "datasets").iterdir()], ids=lambda path: path.name)
def test_the_data_sets_of_the_service_can_be_read(path: Path) -> None:
    assert len(read_cases(path)) > 1
