from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import uuid4

import orjson
from pydantic import JsonValue

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
from app.llm.providers.batch_lines import PAGE, newest_since, not_run, read_line
from app.llm.providers.boundary import malformed, parsed, validated
from app.llm.providers.openai import batch_wire, convert
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.refused_fields import reporting_refused_fields
from app.llm.status import error_for, reported_error
from app.llm.types import ChatRequest

_ENDPOINT = "/v1/chat/completions"
_KEY = "submission"  # the field of a batch's metadata
_ENDED = {"completed", "failed", "expired", "cancelled"}
_OK = 200
_NOT_RUN = {"batch_expired", "batch_cancelled"}


class OpenAIBatches:
    """Calls OpenAI's Files and Batches APIs: a file of requests, a file of answers, one of errors."""

    limits = BatchLimits(requests=50_000, bytes=200 * 1000 * 1000, one_model=True)

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self.name = policy.name or convert.PROVIDER
        self._policy = policy
        self._http = connections.to(
            self.name,
            policy.base_url,
            policy.key_headers,
            reporting_refused_fields(convert.read_error, policy),
        )

    def encode(self, request: ChatRequest) -> EncodedRequest:
        resolved = self._policy.applied_to(request)
        payload = convert.request_to_wire(
            resolved, resolved.model, self._policy.facts, stream=False
        )
        return EncodedRequest(self._http.encoded(payload), resolved.model)

    async def submit(self, key: str, entries: Sequence[BatchEntry]) -> str:
        """A crash between the two calls leaves a file, which nothing is paid for."""
        uploaded = await self._http.post("/files", _form(key, b"\n".join(map(_line, entries))))
        file = validated(batch_wire.FILE, parsed(uploaded, self.name), self.name)
        payload = {
            "input_file_id": file["id"],
            "endpoint": _ENDPOINT,
            "completion_window": "24h",
            "metadata": {_KEY: key},
        }
        return self._batch(await self._http.post("/batches", payload))["id"]

    async def find(self, key: str, _requests: int, since: datetime) -> Sequence[Candidate]:
        return [
            Candidate(batch["id"], certain=True)
            async for batch in newest_since(since, self._page_after, _created)
            if (batch.get("metadata") or {}).get(_KEY) == key
        ]

    async def status(self, batch_id: str) -> BatchStatus:
        return self._status(self._batch(await self._http.fetch(f"/batches/{batch_id}")))

    async def results(self, status: BatchStatus) -> AsyncGenerator[BatchResult, None]:
        for file in status.files:
            async with aclosing(self._http.lines(f"/files/{file}/content")) as lines:
                async for line in lines:
                    yield read_line(line, self._result, self.name)

    async def cancel(self, batch_id: str) -> None:
        await self._http.post(f"/batches/{batch_id}/cancel", {})

    async def _page_after(
        self, last: batch_wire.Batch | None
    ) -> tuple[Sequence[batch_wire.Batch], bool]:
        after = "" if last is None else f"&after={last['id']}"
        body = await self._http.fetch(f"/batches?limit={PAGE}{after}")
        page = validated(batch_wire.BATCH_LIST, parsed(body, self.name), self.name)
        return page.get("data") or [], bool(page.get("has_more"))

    def _batch(self, body: bytes) -> batch_wire.Batch:
        return validated(batch_wire.BATCH, parsed(body, self.name), self.name)

    def _status(self, batch: batch_wire.Batch) -> BatchStatus:
        counts: batch_wire.Counts = batch.get("request_counts") or {}
        files = (batch.get("output_file_id"), batch.get("error_file_id"))
        return BatchStatus(
            batch["id"],
            ended=batch["status"] in _ENDED,
            finished=(counts.get("completed") or 0) + (counts.get("failed") or 0),
            total=counts.get("total") or 0,
            failure=self._failure(batch) if batch["status"] == "failed" else None,
            files=tuple(file for file in files if file),
        )

    def _failure(self, batch: batch_wire.Batch) -> LLMError:
        errors = (batch.get("errors") or {}).get("data") or []
        words = "; ".join(error.get("message") or error.get("code") or "" for error in errors[:3])
        detail = reported.read_error(orjson.dumps({"error": {"message": words}}))
        return error_for(400, provider=self.name, detail=detail)

    def _result(self, value: JsonValue) -> BatchResult:
        line = validated(batch_wire.LINE, value, self.name)
        try:
            outcome = self._outcome(line)
        except LLMError as error:
            outcome = error
        return BatchResult(line["custom_id"], outcome)

    def _outcome(self, line: batch_wire.Line) -> Outcome:
        response, error = line.get("response"), line.get("error")
        if response is None:
            return self._unanswered(error or {})
        body = response.get("body")
        if response["status_code"] != _OK:
            detail = reported.read_error(orjson.dumps(body))
            return error_for(response["status_code"], provider=self.name, detail=detail)
        answer = convert.read_value(body, model="")
        return answer.model_copy(update={"provider_request_id": response.get("request_id")})

    def _unanswered(self, error: batch_wire.LineError) -> LLMError:
        if (code := error.get("code") or "") in _NOT_RUN:
            return not_run(self.name, expired=code == "batch_expired")
        detail = reported.read_error(orjson.dumps({"error": error}))
        if detail is None:
            return malformed(self.name, "response", "is missing")
        return reported_error(detail, provider=self.name)


def _line(entry: BatchEntry) -> bytes:
    head = {"custom_id": entry.custom_id, "method": "POST", "url": _ENDPOINT}
    return orjson.dumps(head)[:-1] + b',"body":' + entry.body + b"}"


def _form(key: str, content: bytes) -> Content:
    """The upload of a file, as a form. The boundary is random, so it is in no text of a caller."""
    boundary = uuid4().hex
    field = f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{key}.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    body = b"".join([(field + file).encode(), content, f"\r\n--{boundary}--\r\n".encode()])
    return Content(body, f"multipart/form-data; boundary={boundary}")


def _created(batch: batch_wire.Batch) -> datetime:
    """A batch without a time may be new."""
    seconds = batch.get("created_at")
    return (
        datetime.max.replace(tzinfo=UTC)
        if seconds is None
        else datetime.fromtimestamp(seconds, UTC)
    )
