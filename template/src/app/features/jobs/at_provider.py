"""Brings a part of a job with the mode `batch` one step further: send, look, or collect.

No step waits for the provider's batch, so a worker that stops loses nothing. A batch is saved before it
is sent, without an id, and afterwards with its id. The next worker looks at a batch with an id. For
one without, it asks the provider whether it has the batch, and only if not, sends the items again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog

from app.errors import BudgetSpentError, LLMError, ModelNotFoundError
from app.features.jobs.batch import (
    BatchRunner,
    gone_detail,
    in_the_name_of,
    is_refused_for_now,
    outcome_of,
)
from app.features.jobs.collecting import collect, encoded_or_error
from app.features.jobs.store import Delivery, JobSpec, PartQueue, Work, WorkQueue
from app.features.jobs.work import patiently
from app.llm.attempt_errors import is_worth_another_try
from app.llm.batch import BatchEntry, EncodedRequest
from app.llm.batch_search import found
from app.llm.batch_sending import log_sent, submission_of, was_refused
from app.llm.batch_split import split
from app.llm.batch_store import Submission
from app.llm.provider_batches import ProviderBatches

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE_S = 1.0
# Providers end a batch after 24 hours. This is later: it is for a batch that never ends.
_DEADLINE = timedelta(hours=26)
_LATE = "The provider has not ended the batch within 26 hours."
_NOT_TAKEN = "The provider has not accepted the batch within JOBS_MAX_WAIT_S."
_MOVED = "The batch was sent to {}, which is no longer the first provider of the service."

Encoded = Mapping[str, EncodedRequest]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AtProvider:
    """`advance` is called for each part, again and again, until it returns `None`."""

    batches: ProviderBatches
    parts: PartQueue
    queue: WorkQueue
    runner: BatchRunner
    now: Callable[[], datetime] = _utc_now
    new_key: Callable[[], str] = lambda: uuid4().hex

    async def advance(self, part: Delivery) -> float | None:
        """Return the seconds until the next step. Call it in a task of its own, like `BatchRunner`."""
        sent = await patiently(lambda: self.parts.sent(part))
        work = await patiently(lambda: self.queue.load(part))
        if work is None:
            return await self._cancel(sent)
        in_the_name_of(work.spec)
        known = await self.runner.known(work)
        if part.number > self.runner.policy.max_deliveries:
            return await self._give_up(part, work.spec, sent, known)
        pauses = []
        for submission in sent:
            own = _taken(known, submission)
            if own:
                pauses.append(await self._look(part, Work(work.spec, {**own}), submission))
        if known:
            pauses.append(await self._send(part, Work(work.spec, {**known})))
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _cancel(self, sent: Iterable[Submission]) -> float | None:
        """Cancel the batches that run. What the provider has answered by then is paid for."""
        pauses = [
            await self._cancel_one(submission)
            for submission in sent
            if submission.provider == self.batches.api.name
        ]
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _cancel_one(self, submission: Submission) -> float | None:
        try:
            # A batch that only its results identify has ended when it is found: see `batch_search`.
            batch_id = submission.batch_id or (await found(self.batches.api, submission))[0]
            if batch_id is not None and not (await self.batches.api.status(batch_id)).ended:
                await self.batches.api.cancel(batch_id)
                self.runner.services.metrics.job_batch("cancelled")
                _log.info("job.batch_cancelled", batch_id=batch_id)
        except ModelNotFoundError:  # 404: the provider no longer has it
            return None
        except LLMError as error:
            return self._pause_after(error)
        return None

    async def _look(self, part: Delivery, work: Work, submission: Submission) -> float | None:
        """Look at a batch, and store its results if it has ended.

        The items are paid for. So an error ends the look, and not the part, except that the provider
        no longer has the batch.
        """
        if submission.provider != self.batches.api.name:
            return await self._fail(work, _MOVED.format(submission.provider))
        if self.now() - submission.created_at > _DEADLINE:
            await self._cancel([submission])
            return await self._fail(work, _LATE)
        try:
            return await self._looked(part, work, submission)
        except ModelNotFoundError as error:
            self.runner.services.metrics.job_batch("lost")
            return await self._fail_with(error, work)
        except LLMError as error:
            return self._pause_after(error)

    async def _looked(self, part: Delivery, work: Work, submission: Submission) -> float | None:
        if submission.batch_id is None:
            return await self._find(part, work, submission)
        status = await self.batches.api.status(submission.batch_id)
        if status.ended:
            await collect(self.batches, self.runner, work, submission, status)
            outcome = "ended" if status.failure is None else "failed"
            self.runner.services.metrics.job_batch(outcome)
            return None
        await self._save(part, submission)
        return self._poll_s

    async def _find(self, part: Delivery, work: Work, submission: Submission) -> float | None:
        """The outcome of the last attempt to send is unknown, or it was refused for a while."""
        batch_id, is_certain = await found(self.batches.api, submission)
        if batch_id is not None:
            await self._save(part, submission.model_copy(update={"batch_id": batch_id}))
            return _SHORTEST_PAUSE_S
        if not is_certain:
            return self._poll_s
        if (self.now() - submission.created_at).total_seconds() > self.runner.policy.max_wait_s:
            return await self._fail(work, _NOT_TAKEN)
        encoded = await self._encoded(work)
        return await self._submit(part, work, submission, encoded) if encoded else None

    async def _send(self, part: Delivery, work: Work) -> float | None:
        """Send items for the first time. It counts as one request of the client."""
        try:
            async with self.runner.account(work.spec):
                pass
        except BudgetSpentError as error:
            return await self._fail_with(error, work)
        except LLMError as error:
            return self._pause_after(error)
        pauses = []
        for chunk in split(await self._encoded(work), self.batches.api.limits):
            submission = submission_of(self.batches.api, self.new_key(), chunk, self.now())
            await self._save(part, submission)
            own = Work(work.spec, {int(name): work.items[int(name)] for name in chunk})
            pauses.append(await self._submit(part, own, submission, chunk))
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _submit(
        self, part: Delivery, work: Work, submission: Submission, chunk: Encoded
    ) -> float | None:
        api = self.batches.api
        entries = [
            BatchEntry(submission.custom_id(position), chunk[sent.id].body)
            for position, sent in enumerate(submission.sent)
            if sent.id in chunk
        ]
        try:
            batch_id = await api.submit(submission.key, entries)
        except LLMError as error:
            return await self._not_sent(error, work)
        await self._save(part, submission.model_copy(update={"batch_id": batch_id}))
        self.runner.services.metrics.job_batch("sent")
        log_sent(api, batch_id, chunk.values())
        return self._poll_s

    async def _not_sent(self, error: LLMError, work: Work) -> float | None:
        """Try again later, unless that does not help. The batch may have arrived: see `_find`."""
        if not was_refused(error) or is_worth_another_try(error) or is_refused_for_now(error):
            return self._pause_after(error)
        return await self._fail_with(error, work)

    async def _encoded(self, work: Work) -> dict[str, EncodedRequest]:
        """The request of each item. The items that cannot be sent fail."""
        kind = self.runner.kinds.get(work.spec.kind)
        if kind is None:
            await self._fail(work, "The service no longer has jobs of this kind.")
            return {}
        encoded, refused = {}, []
        items = await self.runner.parsed(kind, work.spec, await self.runner.known(work))
        for index, item in items.items():
            await asyncio.sleep(0)  # a thousand items must not keep the worker from its reports
            one = await encoded_or_error(self.batches, self.runner, kind, work.spec, item)
            if isinstance(one, EncodedRequest):
                encoded[str(index)] = one
            else:
                refused.append(outcome_of(index, one))
        if refused:
            await self.runner.store(work.spec, refused)
        return encoded

    async def _give_up(
        self, part: Delivery, spec: JobSpec, sent: Sequence[Submission], known: Mapping[int, bytes]
    ) -> float | None:
        _log.error("job.given_up", job=spec.id, items=len(known))
        await self._cancel(sent)
        return await self._fail(Work(spec, {**known}), gone_detail(part.number))

    async def _fail(self, work: Work, detail: str) -> float | None:
        """Store an error for each item. `None`: no further step is needed for them."""
        await self.runner.fail(work.spec, list(work.items), detail)
        return None

    async def _fail_with(self, error: LLMError, work: Work) -> float | None:
        self._warn(error)
        await self.runner.store(work.spec, [outcome_of(index, error) for index in work.items])
        return None

    async def _save(self, part: Delivery, submission: Submission) -> None:
        await patiently(lambda: self.parts.save(part, submission))

    def _pause_after(self, error: LLMError) -> float:
        self._warn(error)
        return max(self._poll_s, error.retry_after_s or 0.0)

    def _warn(self, error: LLMError) -> None:
        name, kind = self.batches.api.name, type(error).__name__
        _log.warning("job.batch_error", provider=name, error=kind, status=error.status)

    @property
    def _poll_s(self) -> float:
        return float(self.runner.policy.batch_poll_s)


def _taken(known: dict[int, bytes], submission: Submission) -> dict[int, bytes]:
    """Take the items of a batch out of those that are left."""
    indexes = [int(sent.id) for sent in submission.sent]
    return {index: known.pop(index) for index in indexes if index in known}
