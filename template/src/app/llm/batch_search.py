"""Finds the batch of a submission with an unknown outcome, without waiting for any batch."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta

from app.llm.batch import BatchAPI, BatchStatus, Candidate
from app.llm.batch_store import Submission

_CLOCK_SKEW = timedelta(minutes=5)


async def candidates(api: BatchAPI, submission: Submission) -> Sequence[Candidate]:
    """The provider's batches that may be the one of a submission, by their time and size."""
    since = submission.created_at - _CLOCK_SKEW
    return await api.find(submission.key, len(submission.sent), since)


async def found(api: BatchAPI, submission: Submission) -> tuple[str | None, bool]:
    """The id of the provider's batch, if it has one, and whether the answer is certain.

    A provider that does not store our key has candidates. The first result of one has the key, so
    the answer is not certain before all of them have ended.
    """
    is_certain = True
    for candidate in await candidates(api, submission):
        is_ours = candidate.certain or await _is_of(api, submission, candidate.batch_id)
        if is_ours:
            return candidate.batch_id, True
        is_certain &= is_ours is not None
    return None, is_certain


async def _is_of(api: BatchAPI, submission: Submission, batch_id: str) -> bool | None:
    """Whether a batch has the requests of a submission; `None`: it has not ended."""
    status = await api.status(batch_id)
    return await has_requests_of(api, status, submission) if status.ended else None


async def has_requests_of(api: BatchAPI, status: BatchStatus, submission: Submission) -> bool:
    """Whether a batch that has ended is the one of a submission: its first result has the key."""
    async with aclosing(api.results(status)) as results:
        async for result in results:
            if result.custom_id is not None:
                return submission.position(result.custom_id) is not None
    return False
