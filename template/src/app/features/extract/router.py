"""`POST /v1/extract`: extracts the data of an invoice. An example of structured output to copy.

Replace the Pydantic model in `invoice.py` and the prompt in `prompts/` by your own. The schema, the parsing and the
second attempts are in `app.llm.structured.ask`.
"""

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.api.inputs import RequestBody, Tenant, Text
from app.api.json_route import JSONRoute
from app.api.openapi import problems
from app.api.services import ServicesDep
from app.features.extract.invoice import PROMPT, Invoice, read_invoice
from app.llm.types import PromptVersion

router = APIRouter(tags=["extract"], route_class=JSONRoute)


class ExtractBody(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "Invoice 7, Nut & Bolt Ltd, 31 January 2026. 100 bolts: 12 EUR."}]
        },
    )

    text: Text = Field(description="The text of the invoice.")


class ExtractAnswer(Invoice):
    """The data of an invoice, and the version of the prompt that asked the model for it."""

    prompt: PromptVersion


@router.post(
    "/v1/extract",
    summary="Extract the data of an invoice",
    responses=problems(402, 413, 422, 429, 500, 502, 503, 504),
)
async def extract(body: ExtractBody, services: ServicesDep, tenant: Tenant) -> ExtractAnswer:
    """Extracts the data of an invoice from its text, as validated JSON."""
    invoice = await read_invoice(body.text, services.chat, tenant=tenant)
    return ExtractAnswer(**dict(invoice), prompt=PROMPT.id)
