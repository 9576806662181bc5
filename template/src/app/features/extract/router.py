"""`POST /v1/extract`: extracts the data of an invoice. An example of structured output to copy.

Replace the Pydantic model and the prompt in `invoice.py` by your own. The schema, the parsing and the
second attempts are in `app.llm.structured.ask`.
"""

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from app.api.disconnect import client_closed, until_disconnect
from app.api.inputs import RequestBody, Tenant, Text
from app.api.openapi import problems
from app.api.services import ServicesDep
from app.features.extract.invoice import Invoice, read_invoice

router = APIRouter(tags=["extract"])


class ExtractBody(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "Invoice 7, Nut & Bolt Ltd, 31 January 2026. 100 bolts: 12 EUR."}]
        },
    )

    text: Text = Field(description="The text of the invoice.")


@router.post(
    "/v1/extract",
    summary="Extract the data of an invoice",
    response_model=Invoice,
    responses=problems(402, 413, 422, 429, 500, 502, 503, 504),
)
async def extract(
    body: ExtractBody, services: ServicesDep, request: Request, tenant: Tenant
) -> Invoice | Response:
    """Extracts the data of an invoice from its text, as validated JSON."""
    reading = read_invoice(body.text, services.chat, tenant=tenant)
    return await until_disconnect(request, reading) or client_closed()
