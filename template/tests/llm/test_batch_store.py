"""The store of the batches that were sent, in memory and in a file."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.llm.batch_store import BatchStore, FileBatchStore, MemoryBatchStore, Sent, Submission

SUBMISSION = Submission(
    key="k",
    provider="fake",
    created_at=datetime(2026, 11, 29, tzinfo=UTC),
    sent=(Sent("a", "1"), Sent("b", "2")),
)


@pytest.fixture(params=["memory", "file"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BatchStore]:
    if request.param == "file":
        return lambda: FileBatchStore(tmp_path / "deep/batches")
    memory = MemoryBatchStore()
    return lambda: memory


def test_a_store_has_the_last_state_of_each_submission(reopen: Callable[[], BatchStore]) -> None:
    assert [*reopen().load()] == []
    other = SUBMISSION.model_copy(update={"key": "l"})
    for state in (SUBMISSION, other, SUBMISSION.release([1])):
        reopen().save(state)
    assert [*reopen().load()] == [SUBMISSION.release([1]), other]


def test_half_a_line_of_a_lost_power_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "batches"
    FileBatchStore(path).save(SUBMISSION)
    path.write_bytes(path.read_bytes() + b'{"key": "l')
    assert [*FileBatchStore(path).load()] == [SUBMISSION]
    FileBatchStore(path).save(SUBMISSION.release([0]))
    assert [*FileBatchStore(path).load()] == [SUBMISSION.release([0])]


def test_a_file_of_something_else_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "batches"
    path.write_text(SUBMISSION.model_dump_json() + "\n{}\n")
    with pytest.raises(Exception, match=f"{path}:2: not a submission: Field required"):
        FileBatchStore(path).load()
