"""Texts of invoices as the items of a job: see `app.api.job_kinds`."""

from collections.abc import Sequence

from pydantic import TypeAdapter

from app.api.job_kinds import ItemResult, JobKind
from app.api.services import Services
from app.features.extract.invoice import PROMPT, read_invoice
from app.features.extract.router import ExtractAnswer, ExtractBody


async def _read(
    bodies: Sequence[ExtractBody], services: Services, tenant: str | None
) -> list[ItemResult]:
    invoices = [await read_invoice(body.text, services.chat, tenant=tenant) for body in bodies]
    answers = [ExtractAnswer(**dict(invoice), prompt=PROMPT.id) for invoice in invoices]
    return [answer.model_dump(mode="json") for answer in answers]


KIND = JobKind(
    name="extract",
    item=TypeAdapter(ExtractBody),
    schema=ExtractBody,
    run=_read,
    in_batches=True,
)
