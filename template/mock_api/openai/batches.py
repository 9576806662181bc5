"""OpenAI's Batches: a file of requests becomes a file of answers and a file of errors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson
from pydantic import Field, JsonValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mock_api.answers import complete
from mock_api.batches import Batch, Batches, Fate, Item, Paces
from mock_api.call import call_of
from mock_api.faults import Fault, Faults
from mock_api.frames import Json
from mock_api.openai import chat, embeddings
from mock_api.openai.errors import error_body
from mock_api.openai.files import Files
from mock_api.openai.requests import ChatRequest, EmbeddingRequest
from mock_api.openai.routes import authorize, model_of
from mock_api.refusal import RefusalError
from mock_api.reply import Whole
from mock_api.validation import Checked, check

ITEMS_PATH = "/v1/batches/items"
_MAX_ITEMS = 50_000
_SHOWN_ERRORS = 10
_OK = 200

Endpoint = Literal["/v1/chat/completions", "/v1/embeddings"]


class BatchRequest(Checked):
    input_file_id: str
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: dict[str, str] | None = Field(None, max_length=16)


class Line(Checked):
    custom_id: str = Field(min_length=1)
    method: Literal["POST"]
    url: Endpoint
    body: dict[str, JsonValue]


@dataclass
class Input:
    """What a batch was made of; `errors` are those of the file, and then nothing is answered."""

    request: BatchRequest
    errors: list[Json] = field(default_factory=list)


class BatchesOfFiles:
    def __init__(self, paces: Paces, faults: Faults) -> None:
        self._batches = Batches("batch_", paces)
        self._files = Files()
        self._faults = faults
        self._inputs: dict[str, Input] = {}

    def routes(self) -> list[Route]:
        return [
            *self._files.routes(),
            Route("/v1/batches", self.create, methods=["POST"]),
            Route("/v1/batches", self.list, methods=["GET"]),
            Route("/v1/batches/{name}", self.get, methods=["GET"]),
            Route("/v1/batches/{name}/cancel", self.cancel, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        authorize(request)
        call = call_of(request.scope)
        asked = check(BatchRequest, call.body)
        lines, errors = _lines(self._files.content(asked.input_file_id), asked.endpoint)
        items = [] if errors else [self._item(line, call.digest) for line in lines]
        batch = self._batches.create(items, call.digest)
        self._inputs[batch.id] = Input(asked, errors)
        return Whole({**self._shown(batch), "status": "validating"})

    async def get(self, request: Request) -> Response:
        authorize(request)
        return Whole(self._shown(self._batches.get(request.path_params["name"])))

    async def list(self, request: Request) -> Response:
        authorize(request)
        query = request.query_params
        page = self._batches.newest_first(query.get("after"), query.get("limit"))
        data = [self._shown(batch) for batch in page.items]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        return Whole({"object": "list", "data": data, "has_more": page.has_more, **ends})

    async def cancel(self, request: Request) -> Response:
        authorize(request)
        batch = self._batches.get(request.path_params["name"])
        self._batches.cancel(batch)
        return Whole(self._shown(batch))

    def _item(self, line: Line, digest: str) -> Item:
        fault = self._faults.take(ITEMS_PATH)
        request_id = f"{digest}-{line.custom_id}"
        status, body = _answered(line, request_id, fault)
        response = {"status_code": status, "request_id": f"req_{request_id}", "body": body}
        encoded = _line(line.custom_id, response=response)
        return Item(line.custom_id, encoded, failed=status != _OK, fault=fault)

    def _shown(self, batch: Batch) -> Json:
        given, now = self._inputs[batch.id], self._batches.clock()
        fates = batch.in_any_order(now)
        status = "failed" if given.errors else _STATUSES.get(phase := batch.phase(now), phase)
        shown: Json = {
            "id": batch.id,
            "object": "batch",
            "endpoint": given.request.endpoint,
            "input_file_id": given.request.input_file_id,
            "completion_window": given.request.completion_window,
            "metadata": given.request.metadata,
            "status": status,
            "created_at": int(batch.created_at.timestamp()),
            "expires_at": int(batch.expires_at.timestamp()),
            "request_counts": _counts(fates),
        }
        if given.errors:
            shown["errors"] = {"object": "list", "data": given.errors}
        if status in {"completed", "expired", "cancelled"}:
            shown |= self._results(batch, fates)
        return shown

    def _results(self, batch: Batch, fates: Sequence[tuple[Item, Fate | None]]) -> Json:
        good = [item.encoded for item, fate in fates if fate == "answered" and not item.failed]
        bad = [_failed(item, fate) for item, fate in fates if fate != "answered" or item.failed]
        return {
            "output_file_id": self._files.keep(f"file-{batch.id}_output", good),
            "error_file_id": self._files.keep(f"file-{batch.id}_error", bad),
        }


_STATUSES = {"running": "in_progress"}
_UNANSWERED = {
    "expired": "This request could not be executed before the completion window expired.",
    "cancelled": "This request was not executed, because the batch was cancelled.",
}


def _failed(item: Item, fate: Fate | None) -> bytes:
    if fate not in _UNANSWERED:
        return item.encoded
    error = {"code": f"batch_{fate}", "message": _UNANSWERED[fate]}
    return orjson.dumps(_line(item.custom_id, error=error))


def _line(custom_id: str, *, response: object = None, error: object = None) -> Json:
    request = f"batch_req_{custom_id}"
    return {"id": request, "custom_id": custom_id, "response": response, "error": error}


def _counts(fates: Iterable[tuple[Item, Fate | None]]) -> Json:
    outcomes = [(item.failed, fate) for item, fate in fates]
    completed = outcomes.count((False, "answered"))
    failed = sum(fate is not None for _, fate in outcomes) - completed
    return {"total": len(outcomes), "completed": completed, "failed": failed}


def _answered(line: Line, request_id: str, fault: Fault) -> tuple[int, object]:
    """The status and body that the endpoint would answer this request with."""
    try:
        fault.refuse()
        return _OK, _ANSWERS[line.url](orjson.dumps(line.body), request_id)
    except RefusalError as refusal:
        return refusal.status, error_body(refusal, request_id)


def _chat(body: bytes, request_id: str) -> object:
    asked = check(ChatRequest, body)
    model_of(asked.model)
    if asked.stream:
        raise RefusalError(400, "a batch has no streams", field=("stream",))
    return chat.answer(asked, complete(chat.prompt_of(asked)), request_id)


def _embed(body: bytes, _request_id: str) -> object:
    asked = check(EmbeddingRequest, body)
    model_of(asked.model)
    return embeddings.answer(asked)


_ANSWERS: dict[Endpoint, Callable[[bytes, str], object]] = {
    "/v1/chat/completions": _chat,
    "/v1/embeddings": _embed,
}


def _lines(content: bytes, endpoint: str) -> tuple[list[Line], list[Json]]:
    """The requests of a file, and the errors that make the whole batch fail."""
    lines: list[Line] = []
    errors: list[Json] = []
    seen: set[str] = set()
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            line = check(Line, text)
            _check_beside_others(line, lines, seen, endpoint)
        except RefusalError as refusal:
            errors.append(_error(refusal, number))
            continue
        lines.append(line)
        seen.add(line.custom_id)
    if not lines and not errors:
        errors.append(_error(RefusalError(400, "The input file is empty.", code="empty_file"), 0))
    if len(lines) > _MAX_ITEMS:
        many = RefusalError(400, f"more than {_MAX_ITEMS} requests", code="too_many_tasks")
        errors.append(_error(many, 0))
    return lines, errors[:_SHOWN_ERRORS]


def _check_beside_others(line: Line, before: Sequence[Line], seen: set[str], endpoint: str) -> None:
    if line.custom_id in seen:
        raise RefusalError(400, "The custom_id is not unique.", code="duplicate_custom_id")
    if line.url != endpoint:
        raise RefusalError(400, f"The url is not {endpoint}.", code="mismatched_endpoint")
    if before and before[0].body.get("model") != line.body.get("model"):
        raise RefusalError(400, "The file has several models.", code="mismatched_model")


def _error(refusal: RefusalError, line: int) -> Json:
    words = error_body(refusal, "")["error"]
    return {"code": words["code"], "message": words["message"], "param": None, "line": line or None}
