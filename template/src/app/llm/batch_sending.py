"""A batch on its way to the provider: its requests, what is saved of it, and the log line of its arrival."""

from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256

import structlog

from app.errors import LLMError, RequestRefusedError
from app.llm.batch import BatchAPI, EncodedRequest
from app.llm.batch_split import size_of
from app.llm.batch_store import Sent, Submission
from app.llm.types import ChatRequest

_log = structlog.get_logger(__name__)

_REFUSED = range(400, 500)


def encoded(api: BatchAPI, request: ChatRequest) -> EncodedRequest:
    """The request in the provider's form. Raises `RequestRefusedError` if no batch could hold it."""
    found = api.encode(request)
    if (size := size_of(found)) > (limit := api.limits.bytes):
        message = f"{api.name} takes {limit} bytes in a batch, and this request has {size}"
        raise RequestRefusedError(message, provider=api.name)
    return found


def submission_of(
    api: BatchAPI, key: str, requests: Mapping[str, EncodedRequest], created_at: datetime
) -> Submission:
    """What is saved before the batch is sent."""
    sent = tuple(Sent(name, digest_of(request)) for name, request in requests.items())
    return Submission(key=key, provider=api.name, created_at=created_at, sent=sent)


def digest_of(request: EncodedRequest) -> str:
    return sha256(request.body).hexdigest()[:32]


def log_sent(api: BatchAPI, batch_id: str, requests: Collection[EncodedRequest]) -> None:
    size = sum(map(size_of, requests))
    facts = {"provider": api.name, "batch_id": batch_id, "requests": len(requests)}
    _log.info("llm.batch_sent", **facts, bytes=size)


def was_refused(error: LLMError) -> bool:
    """Whether the provider has certainly not created the batch."""
    return error.nothing_sent or (error.status or 0) in _REFUSED
