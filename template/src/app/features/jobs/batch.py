"""Runs the items of one batch, in the name of the client of the job.

The guards of the models retry calls; nothing is retried here. But an item that a limit or an open
circuit refuses was never sent: it waits for `JOBS_MAX_WAIT_S` at most, and then fails.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from app.api.job_kinds import ItemResult, JobKind
from app.api.problems import Problem, describe, http_problem
from app.api.services import Services
from app.clients.account import ANONYMOUS, Accounts, current_account
from app.errors import BudgetSpentError, LLMError, NothingCanAnswerError
from app.features.jobs.kinds import Kinds
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import JobSpec, Outcome, Work
from app.resilience.concurrency import gather_bounded
from app.telemetry.correlation import client, request_id, tenant, traceparent

_SHORTEST_WAIT_S = 1.0

Keep = Callable[[str, Sequence[Outcome]], Awaitable[None]]


class ItemFailedError(Exception):
    """Never raised by items: `gather_bounded` needs a class of errors that are results."""


@dataclass(frozen=True, slots=True)
class BatchRunner:
    """`keep` stores the results of each call as soon as it has ended."""

    services: Services
    accounts: Accounts | None
    kinds: Kinds
    policy: JobsPolicy
    keep: Keep
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, work: Work) -> None:
        """Run all items. Call it in a task of its own: it sets the ids of the job's request."""
        in_the_name_of(work.spec)
        known = await self.known(work)
        kind = self.kinds.get(work.spec.kind)
        if kind is None:
            await self.fail(work.spec, list(known), "The service no longer has jobs of this kind.")
            return
        calls = _calls(known, kind.items_per_call)

        async def call(raw: Mapping[int, bytes]) -> None:
            await self._call(kind, work.spec, raw)

        await gather_bounded(calls, call, limit=kind.calls_per_batch, catch=ItemFailedError)

    async def known(self, work: Work) -> dict[int, bytes]:
        """The inputs. The items without one fail."""
        lost = [index for index, raw in work.items.items() if raw is None]
        await self.fail(work.spec, lost, "The inputs of the item are no longer stored.")
        return {index: raw for index, raw in work.items.items() if raw is not None}

    async def fail(self, spec: JobSpec, indexes: Sequence[int], detail: str) -> None:
        problem = http_problem(503, detail)
        if indexes:
            await self.store(spec, [_failed(index, problem) for index in indexes])

    async def _call(self, kind: JobKind[Any], spec: JobSpec, raw: Mapping[int, bytes]) -> None:
        """Make one call, and the call again for the items that waiting helps."""
        items = await self.parsed(kind, spec, raw)
        deadline = self.clock() + self.policy.max_wait_s
        while items:
            results = await self._results(kind, spec, list(items.values()))
            by_index = dict(zip(items, results, strict=True))
            waits = {
                index: pause
                for index, result in by_index.items()
                if (pause := _pause_s(result)) is not None and self.clock() + pause <= deadline
            }
            ended = {index: one for index, one in by_index.items() if index not in waits}
            if ended:
                await self.store(spec, [outcome_of(*each) for each in ended.items()])
            items = {index: items[index] for index in waits}
            if waits:
                await self.sleep(max(waits.values()))

    async def parsed(
        self, kind: JobKind[Any], spec: JobSpec, raw: Mapping[int, bytes]
    ) -> dict[int, Any]:
        """The items. Another version of the service may have accepted items that this one refuses."""
        items, invalid = {}, []
        for index, one in raw.items():
            try:
                items[index] = kind.item.validate_json(one)
            except ValidationError:
                invalid.append(index)
        await self.fail(spec, invalid, "This version of the service does not accept the item.")
        return items

    async def _results(
        self, kind: JobKind[Any], spec: JobSpec, items: Sequence[Any]
    ) -> Sequence[ItemResult | Problem]:
        try:
            async with self.account(spec):
                return await kind.run(items, self.services, spec.tenant)
        except LLMError as error:
            return [error] * len(items)
        except Exception as error:  # noqa: BLE001 - an item must not end the worker
            return [describe(error)] * len(items)

    @asynccontextmanager
    async def account(self, spec: JobSpec) -> AsyncIterator[None]:
        """A call of a job counts as a request of its client, and is charged to its budget."""
        if self.accounts is None:
            yield
            return
        name = spec.client or ANONYMOUS
        account = await self.accounts.open(name, 0)
        token = current_account.set(account)
        try:
            yield
        finally:
            current_account.reset(token)
            await account.settle()
            self.services.metrics.client_used(name, *account.used)

    async def store(self, spec: JobSpec, outcomes: Sequence[Outcome]) -> None:
        await self.keep(spec.id, outcomes)
        for outcome in outcomes:
            self.services.metrics.job_item(spec.kind, succeeded=outcome.is_success)


def gone_detail(number: int) -> str:
    return f"Each of {number - 1} workers ended while it processed the item."


def in_the_name_of(spec: JobSpec) -> None:
    request_id.set(spec.request_id)
    traceparent.set(spec.traceparent)
    client.set(spec.client)
    tenant.set(spec.tenant if spec.client is None else None)


def _calls(items: Mapping[int, bytes], size: int) -> list[dict[int, bytes]]:
    pairs = list(items.items())
    return [dict(pairs[first : first + size]) for first in range(0, len(pairs), size)]


def _pause_s(result: ItemResult | Problem) -> float | None:
    """How long to wait before the same call is accepted; `None`: waiting does not help."""
    if not isinstance(result, LLMError) or not is_refused_for_now(result):
        return None
    return max(result.retry_after_s or 0.0, _SHORTEST_WAIT_S)


def is_refused_for_now(error: LLMError) -> bool:
    if isinstance(error, BudgetSpentError):  # until midnight
        return False
    if isinstance(error, NothingCanAnswerError):
        return bool(error.causes) and all(map(is_refused_for_now, error.causes))
    return error.nothing_sent and error.retry_after_s is not None


def outcome_of(index: int, result: ItemResult | Problem) -> Outcome:
    if isinstance(result, Problem):
        return _failed(index, result)
    if isinstance(result, LLMError):
        return _failed(index, describe(result))
    encoded = orjson.dumps({"index": index, "result": result, "error": None})
    return Outcome(index, is_success=True, encoded=encoded)


def _failed(index: int, problem: Problem) -> Outcome:
    error = problem.model_dump(mode="json", exclude_none=True)
    encoded = orjson.dumps({"index": index, "result": None, "error": error})
    return Outcome(index, is_success=False, encoded=encoded)
