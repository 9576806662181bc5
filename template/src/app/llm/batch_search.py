"""Finds the batch of a submission with an unknown outcome, without waiting for any batch."""

from contextlib import aclosing
from datetime import timedelta

from app.llm.batch import BatchAPI
from app.llm.batch_store import Submission

CLOCK_SKEW = timedelta(minutes=5)


async def found(api: BatchAPI, submission: Submission) -> tuple[str | None, bool]:
    """The id of the provider's batch, if it has one, and whether the answer is certain.

    A provider that does not store our key has candidates. The first result of one has the key, so
    the answer is not certain before all of them have ended.
    """
    since, is_certain = submission.created_at - CLOCK_SKEW, True
    for candidate in await api.find(submission.key, len(submission.sent), since):
        is_ours = candidate.certain or await _is_of(api, submission, candidate.batch_id)
        if is_ours:
            return candidate.batch_id, True
        is_certain &= is_ours is not None
    return None, is_certain


async def _is_of(api: BatchAPI, submission: Submission, batch_id: str) -> bool | None:
    """Whether a batch has the requests of a submission; `None`: it has not ended."""
    status = await api.status(batch_id)
    if not status.ended:
        return None
    async with aclosing(api.results(status)) as results:
        async for result in results:
            if result.custom_id is not None:
                return submission.position(result.custom_id) is not None
    return False
