"""Chat requests as the items of a job: see `app.api.job_kinds`."""

from collections.abc import Sequence

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter

from app.api.job_kinds import ItemResult, JobKind
from app.api.services import Services
from app.features.chat.router import ChatBody

_NO_STREAM = "must be false: the answers of a job are not streamed"


async def _check(body: ChatBody, tenant: str | None, services: Services) -> None:
    if body.stream:
        raise _refusal("stream", _NO_STREAM)
    if body.provider is not None and body.provider not in services.providers:
        raise _refusal("provider", f"must be one of: {', '.join(services.providers)}")
    await body.to_request(tenant)


def _refusal(field: str, why: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": why, "type": "value_error"}])


async def _answer(
    bodies: Sequence[ChatBody], services: Services, tenant: str | None
) -> list[ItemResult]:
    requests = [await body.to_request(tenant) for body in bodies]
    answers = [await services.chat.complete(request) for request in requests]
    return [answer.model_dump(mode="json") for answer in answers]


KIND = JobKind(
    name="chat",
    item=TypeAdapter(ChatBody),
    schema=ChatBody,
    run=_answer,
    check=_check,
    in_batches=True,
)
