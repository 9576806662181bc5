"""Cases of the kind `extract`: the data of an invoice, read as `/v1/extract` does."""

from app.features.extract.invoice import read_invoice
from app.llm.model import Model
from evals.answers import Found
from evals.cases import Case


async def extract(case: Case, model: Model) -> Found:
    return Found((await read_invoice(case.question, model)).model_dump_json())
