"""Anthropic's Message Batches: a list of requests becomes lines of results."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import orjson
from pydantic import Field, JsonValue
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mock_api.answers import complete
from mock_api.anthropic.errors import error_body
from mock_api.anthropic.messages import answer, prompt_of
from mock_api.anthropic.requests import MessagesRequest
from mock_api.anthropic.routes import authorize
from mock_api.batches import Batch, Batches, Fate, Item, Paces
from mock_api.call import call_of
from mock_api.faults import Fault, Faults
from mock_api.frames import Json
from mock_api.keys import is_missing_model
from mock_api.refusal import RefusalError
from mock_api.reply import Lines, Whole
from mock_api.validation import Checked, check

PATH = "/v1/messages/batches"
ITEMS_PATH = f"{PATH}/items"
_MAX_ITEMS = 100_000


class AskedItem(Checked):
    custom_id: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    params: dict[str, JsonValue]


class BatchRequest(Checked):
    requests: Annotated[list[AskedItem], Field(min_length=1, max_length=_MAX_ITEMS)]


class MessageBatches:
    def __init__(self, paces: Paces, faults: Faults) -> None:
        self._batches = Batches("msgbatch_", paces)
        self._faults = faults

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.create, methods=["POST"]),
            Route(PATH, self.list, methods=["GET"]),
            Route(PATH + "/{name}", self.get, methods=["GET"]),
            Route(PATH + "/{name}", self.delete, methods=["DELETE"]),
            Route(PATH + "/{name}/results", self.results, methods=["GET"]),
            Route(PATH + "/{name}/cancel", self.cancel, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        authorize(request.headers)
        call = call_of(request.scope)
        asked = check(BatchRequest, call.body).requests
        if len({item.custom_id for item in asked}) < len(asked):
            raise RefusalError(400, "custom_id must be unique", field=("requests",))
        items = [self._item(item, call.digest) for item in asked]
        return self._whole(self._batches.create(items, call.digest), request)

    async def get(self, request: Request) -> Response:
        return self._whole(self._named(request), request)

    async def list(self, request: Request) -> Response:
        authorize(request.headers)
        query = request.query_params
        page = self._batches.newest_first(query.get("after_id"), query.get("limit"))
        data = [self._shown(batch, request) for batch in page.items]
        first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return Whole({"data": data, "has_more": page.has_more, "first_id": first, "last_id": last})

    async def results(self, request: Request) -> Response:
        batch = self._named(request)
        if not self._has_ended(batch):
            raise RefusalError(404, f"Batch {batch.id} has no available results.")
        return Lines(_line(*fate) for fate in batch.in_any_order(self._batches.clock()))

    async def cancel(self, request: Request) -> Response:
        batch = self._named(request)
        if self._has_ended(batch):
            raise RefusalError(400, f"Batch {batch.id} cannot be canceled because it has ended.")
        self._batches.cancel(batch)
        return self._whole(batch, request)

    async def delete(self, request: Request) -> Response:
        batch = self._named(request)
        if not self._has_ended(batch):
            raise RefusalError(400, f"Batch {batch.id} has not ended.")
        del self._batches.kept[batch.id]
        return Whole({"id": batch.id, "type": "message_batch_deleted"})

    def _named(self, request: Request) -> Batch:
        authorize(request.headers)
        return self._batches.get(request.path_params["name"])

    def _item(self, asked: AskedItem, digest: str) -> Item:
        fault = self._faults.take(ITEMS_PATH)
        result = _answered(asked, f"{digest}-{asked.custom_id}", fault)
        line = {"custom_id": asked.custom_id, "result": result}
        return Item(asked.custom_id, line, failed=result["type"] == "errored", fault=fault)

    def _has_ended(self, batch: Batch) -> bool:
        return batch.phase(self._batches.clock()) in {"completed", "expired", "cancelled"}

    def _whole(self, batch: Batch, request: Request) -> Response:
        return Whole(self._shown(batch, request))

    def _shown(self, batch: Batch, request: Request) -> Json:
        now = self._batches.clock()
        ended, cancelled = self._has_ended(batch), batch.cancelled_s is not None
        status = "ended" if ended else "canceling" if cancelled else "in_progress"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": _counts(batch.fates(now), ended=ended),
            "created_at": _time(batch.created_at),
            "expires_at": _time(batch.expires_at),
            "ended_at": _time(batch.created_at) if ended else None,
            "cancel_initiated_at": _time(batch.created_at) if cancelled else None,
            "archived_at": None,
            "results_url": f"{request.base_url}{PATH[1:]}/{batch.id}/results" if ended else None,
        }


def _counts(fates: Iterable[tuple[Item, Fate | None]], *, ended: bool) -> Json:
    """All requests are processing until the whole batch has ended."""
    names = [_kind(item, fate) if ended else "processing" for item, fate in fates]
    kinds = ("processing", "succeeded", "errored", "canceled", "expired")
    return {kind: names.count(kind) for kind in kinds}


def _kind(item: Item, fate: Fate | None) -> str:
    if fate == "answered":
        return "errored" if item.failed else "succeeded"
    return "canceled" if fate == "cancelled" else "expired"


def _line(item: Item, fate: Fate | None) -> bytes:
    if fate == "answered":
        return item.encoded
    return orjson.dumps({"custom_id": item.custom_id, "result": {"type": _kind(item, fate)}})


def _answered(asked: AskedItem, digest: str, fault: Fault) -> Json:
    try:
        fault.refuse()
        return {"type": "succeeded", "message": _message(asked, digest)}
    except RefusalError as refusal:
        return {"type": "errored", "error": error_body(refusal, f"req_{digest}")}


def _message(asked: AskedItem, digest: str) -> Json:
    request = check(MessagesRequest, orjson.dumps(asked.params))
    if is_missing_model(request.model):
        raise RefusalError(404, f"model: {request.model}")
    if request.stream:
        raise RefusalError(400, "a batch has no streams", field=("stream",))
    message = answer(request, complete(prompt_of(request)), digest)
    return {**message, "usage": {**message["usage"], "service_tier": "batch"}}


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
