"""Sends requests in batches, waits for them, and hands out the results.

A batch is saved before it is sent, without an id, and afterwards with its id. So a restart knows three
cases: not saved, nothing was sent; saved with an id, the batch is continued; saved without an id, the
provider is asked whether it has the batch, and only if not, its requests are sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from app.errors import LLMError, ModelNotFoundError
from app.llm import batch_sending
from app.llm.batch import BatchAPI, BatchEntry, BatchStatus, EncodedRequest, Outcome
from app.llm.batch_polling import BatchPolicy, retry_of, until_ended
from app.llm.batch_results import log_end, priced, read_results
from app.llm.batch_search import candidates, has_requests_of
from app.llm.batch_sending import digest_of, log_sent, submission_of, was_refused
from app.llm.batch_split import split
from app.llm.batch_store import BatchStore, Submission
from app.llm.costs import NO_PRICES, PriceList
from app.llm.types import ChatRequest

_log = structlog.get_logger(__name__)

Encoded = dict[str, EncodedRequest]
Deliver = Callable[[Mapping[str, Outcome]], None]


@dataclass(frozen=True, slots=True)
class _Part:
    """A submission, and those of its requests that are wanted: by position, the caller's id."""

    submission: Submission
    wanted: Mapping[int, str]
    encoded: Encoded


class Batches:
    """The batches of one provider."""

    def __init__(
        self,
        api: BatchAPI,
        store: BatchStore,
        *,
        policy: BatchPolicy | None = None,
        prices: PriceList = NO_PRICES,
        vendor: str = "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_key: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self.name = api.name
        self._api = api
        self._store = store
        self._policy = policy or BatchPolicy()
        self._prices = prices
        self._vendor = vendor or api.name
        self._sleep = sleep
        self._new_key = new_key
        self._retry = retry_of(self._policy, sleep)

    async def run(self, requests: Mapping[str, ChatRequest], deliver: Deliver) -> None:
        """Answer all requests: `deliver` gets each outcome once, those of a batch together.

        The keys are the caller's ids. A caller that asks again under the same ids, after a restart, gets
        the results of the batches that were sent before, unless it asks something else.
        """
        encoded, refused = self._encoded(requests)
        if refused:
            deliver(refused)
        parts = self._sent_before(encoded)
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(self._continue(part, deliver))
                for chunk in split(encoded, self._api.limits):
                    tasks.create_task(self._send(chunk, deliver))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def cancel(self) -> int:
        """Cancel the saved batches that still run; return how many these were.

        What the provider has answered by then can still be collected, and is paid for.
        """
        saved = [each for each in self._store.load() if each.provider == self.name]
        ids = [each.batch_id for each in saved if each.batch_id and not each.is_over]
        running = [batch_id for batch_id in ids if await self._runs(batch_id)]
        for batch_id in running:
            await self._api.cancel(batch_id)
        return len(running)

    async def _runs(self, batch_id: str) -> bool:
        try:
            return not (await self._api.status(batch_id)).ended
        except ModelNotFoundError:  # 404: the provider no longer has it
            return False

    def _encoded(self, requests: Mapping[str, ChatRequest]) -> tuple[Encoded, dict[str, Outcome]]:
        encoded: Encoded = {}
        refused: dict[str, Outcome] = {}
        for name, request in requests.items():
            try:
                encoded[name] = batch_sending.encoded(self._api, request)
            except LLMError as error:
                refused[name] = error
        return encoded, refused

    def _sent_before(self, encoded: Encoded) -> list[_Part]:
        """Take the requests out of `encoded` that a saved submission has sent."""
        parts: list[_Part] = []
        for submission in self._store.load():
            if submission.provider != self.name:
                continue
            wanted = {
                position: sent.id
                for position, sent in enumerate(submission.sent)
                if position not in submission.released
                and sent.id in encoded
                and sent.digest == digest_of(encoded[sent.id])
            }
            if wanted:
                taken = {name: encoded.pop(name) for name in wanted.values()}
                parts.append(_Part(submission, wanted, taken))
        return parts

    async def _continue(self, part: _Part, deliver: Deliver) -> None:
        try:
            batch_id = part.submission.batch_id or await self._retry(
                lambda: self._find(part.submission)
            )
            if batch_id is not None:
                await self._collect(part, self._saved_as(part.submission, batch_id), deliver)
                return
        except ModelNotFoundError:  # 404: the provider no longer has it, or never had
            _log.warning("llm.batch_lost", provider=self.name, batch_id=part.submission.batch_id)
        except LLMError as error:
            deliver(dict.fromkeys(part.wanted.values(), error))
            return
        self._store.save(part.submission.release([*part.wanted]))
        await self._send(part.encoded, deliver)

    async def _send(self, chunk: Encoded, deliver: Deliver) -> None:
        submission = submission_of(self._api, self._new_key(), chunk, datetime.now(UTC))
        self._store.save(submission)
        part = _Part(submission, dict(enumerate(chunk)), chunk)
        try:
            submission = self._saved_as(submission, await self._accepted(part))
            await self._collect(part, submission, deliver)
        except LLMError as error:
            if submission.batch_id is None and was_refused(error):
                self._store.save(submission.release(range(len(chunk))))
            deliver(dict.fromkeys(chunk, error))

    async def _accepted(self, part: _Part) -> str:
        """The id of the batch. After a failure it may exist, so it is looked for before a second attempt."""
        submission, was_tried = part.submission, False
        entries = [
            BatchEntry(submission.custom_id(position), part.encoded[name].body)
            for position, name in part.wanted.items()
        ]

        async def attempt() -> str:
            nonlocal was_tried
            if was_tried and (found := await self._find(submission)) is not None:
                return found
            was_tried = True
            return await self._api.submit(submission.key, entries)

        batch_id = await self._retry(attempt)
        log_sent(self._api, batch_id, part.encoded.values())
        return batch_id

    def _saved_as(self, submission: Submission, batch_id: str) -> Submission:
        if submission.batch_id == batch_id:
            return submission
        saved = submission.model_copy(update={"batch_id": batch_id})
        self._store.save(saved)
        return saved

    async def _find(self, submission: Submission) -> str | None:
        """The provider's batch of a submission without an id, if the provider has it."""
        known = {other.batch_id for other in self._store.load()}
        for candidate in await candidates(self._api, submission):
            if candidate.batch_id not in known and (
                candidate.certain or await self._is_of(submission, candidate.batch_id)
            ):
                return candidate.batch_id
        return None

    async def _is_of(self, submission: Submission, batch_id: str) -> bool:
        status = await self._until_ended(batch_id)
        return await has_requests_of(self._api, status, submission)

    async def _collect(self, part: _Part, submission: Submission, deliver: Deliver) -> None:
        status = await self._until_ended(submission.batch_id or "")
        results = await self._retry(lambda: read_results(self._api, status, submission))
        if unpaid := results.unpaid:
            self._store.save(submission.release(unpaid))
        outcomes = {
            name: self._priced(results.outcomes[position], part.encoded[name].model)
            for position, name in part.wanted.items()
        }
        log_end(self.name, status, results.flaws, outcomes.values())
        deliver(outcomes)

    async def _until_ended(self, batch_id: str) -> BatchStatus:
        return await until_ended(self._api, batch_id, self._policy, self._sleep)

    def _priced(self, outcome: Outcome, model: str) -> Outcome:
        return priced(
            outcome, provider=self.name, vendor=self._vendor, model=model, prices=self._prices
        )
