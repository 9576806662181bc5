from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import orjson
from pydantic import JsonValue, ValidationError

from app.errors import LLMError
from app.llm.batch import (
    BatchEntry,
    BatchLimits,
    BatchResult,
    BatchStatus,
    Candidate,
    EncodedRequest,
    Outcome,
)
from app.llm.bodies import Content
from app.llm.http import Connections
from app.llm.providers import reported
from app.llm.providers.anthropic import batch_wire, convert
from app.llm.providers.anthropic.client import VERSION
from app.llm.providers.batch_lines import PAGE, newest_since, not_run, read_line
from app.llm.providers.boundary import malformed, parsed, validated
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.refused_fields import reporting_refused_fields
from app.llm.status import ErrorDetail, reported_error
from app.llm.types import ChatRequest

_PATH = "/v1/messages/batches"


class AnthropicBatches:
    """Calls Anthropic's Message Batches API: a list of requests becomes lines of results."""

    limits = BatchLimits(requests=100_000, bytes=256 * 1000 * 1000)

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self.name = policy.name or convert.PROVIDER
        self._policy = policy
        self._http = connections.to(
            self.name,
            policy.base_url,
            {**policy.key_headers, "anthropic-version": VERSION},
            reporting_refused_fields(convert.read_error, policy),
        )

    def encode(self, request: ChatRequest) -> EncodedRequest:
        resolved = self._policy.applied_to(request)
        payload = convert.request_to_wire(
            resolved, resolved.model, resolved.max_tokens, self._policy.facts, stream=False
        )
        return EncodedRequest(self._http.encoded(payload), resolved.model)

    async def submit(self, _key: str, entries: Sequence[BatchEntry]) -> str:
        content = b'{"requests":[' + b",".join(map(_request, entries)) + b"]}"
        return self._batch(await self._http.post(_PATH, Content(content)))["id"]

    async def find(self, _key: str, requests: int, since: datetime) -> Sequence[Candidate]:
        """The batches of that size. The API has no metadata: only the ids in their results are proof."""
        return [
            Candidate(batch["id"], certain=False)
            async for batch in newest_since(since, self._page_after, _created)
            if _total(batch) == requests
        ]

    async def status(self, batch_id: str) -> BatchStatus:
        batch = self._batch(await self._http.fetch(f"{_PATH}/{batch_id}"))
        counts: batch_wire.Counts = batch.get("request_counts") or {}
        total = _total(batch)
        return BatchStatus(
            batch["id"],
            ended=batch["processing_status"] == "ended",
            finished=total - (counts.get("processing") or 0),
            total=total,
        )

    async def results(self, status: BatchStatus) -> AsyncGenerator[BatchResult, None]:
        """Read them at the known path: `results_url` would send the key to any address in it."""
        path = f"{_PATH}/{status.batch_id}/results"
        async with aclosing(self._http.lines(path)) as lines:
            async for line in lines:
                yield read_line(line, self._result, self.name)

    async def cancel(self, batch_id: str) -> None:
        await self._http.post(f"{_PATH}/{batch_id}/cancel", {})

    async def _page_after(
        self, last: batch_wire.Batch | None
    ) -> tuple[Sequence[batch_wire.Batch], bool]:
        after = "" if last is None else f"&after_id={last['id']}"
        body = await self._http.fetch(f"{_PATH}?limit={PAGE}{after}")
        page = validated(batch_wire.BATCH_LIST, parsed(body, self.name), self.name)
        return page.get("data") or [], bool(page.get("has_more"))

    def _batch(self, body: bytes) -> batch_wire.Batch:
        return validated(batch_wire.BATCH, parsed(body, self.name), self.name)

    def _result(self, value: JsonValue) -> BatchResult:
        line = validated(batch_wire.LINE, value, self.name)
        try:
            outcome = self._outcome(line["result"])
        except LLMError as error:
            outcome = error
        return BatchResult(line["custom_id"], outcome)

    def _outcome(self, result: batch_wire.Result) -> Outcome:
        match result["type"]:
            case "succeeded":
                return convert.read_value(result.get("message"), model="")
            case "errored":
                detail = reported.read_error(orjson.dumps(result.get("error")))
                return reported_error(detail or ErrorDetail(""), provider=self.name)
            case "expired" | "canceled" as kind:
                return not_run(self.name, expired=kind == "expired")
            case _:
                return malformed(self.name, "result.type", "is not known")


def _request(entry: BatchEntry) -> bytes:
    head = orjson.dumps({"custom_id": entry.custom_id})
    return head[:-1] + b',"params":' + entry.body + b"}"


def _total(batch: batch_wire.Batch) -> int:
    counts: batch_wire.Counts = batch.get("request_counts") or {}
    return sum(count for count in counts.values() if isinstance(count, int))


def _created(batch: batch_wire.Batch) -> datetime:
    """A batch without a time may be new."""
    try:
        return batch_wire.TIME.validate_python(batch.get("created_at"))
    except ValidationError:
        return datetime.max.replace(tzinfo=UTC)
