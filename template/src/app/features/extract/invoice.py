"""The data of an invoice, the rules that a model's answer must obey, and the call that asks for it."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, StringConstraints, field_validator, model_validator

from app.llm.model import ChatModel
from app.llm.prompts import read_prompt, render
from app.llm.structured.ask import ask_for

# The text is a message of its own, so it needs no quoting and cannot end early.
PROMPT = read_prompt(Path(__file__).with_name("prompts") / "invoice.toml", "text")

# The words with which models write that a value is missing, in spite of the prompt.
_NOTHING = {"", "-", "n/a", "none", "null", "unknown", "not specified"}


class Currency(StrEnum):
    EUR = "EUR"
    USD = "USD"
    GBP = "GBP"
    CHF = "CHF"


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Amount = Annotated[Decimal, Field(max_digits=15, decimal_places=2)]


class Item(BaseModel):
    description: Line
    amount: Amount = Field(description="Of the whole item, not of one piece; negative: a discount")


class Invoice(BaseModel):
    number: Line
    seller: Line
    issued_on: date | None = Field(default=None, description="YYYY-MM-DD, or null")
    due_on: date | None = Field(default=None, description="YYYY-MM-DD, or null")
    currency: Currency
    items: list[Item] = Field(min_length=1, max_length=500)
    total: Amount

    @field_validator("issued_on", "due_on", mode="before")
    @classmethod
    def _nothing_is_null(cls, value: object) -> object:
        return None if isinstance(value, str) and value.strip().lower() in _NOTHING else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.issued_on and self.due_on and self.due_on < self.issued_on:
            raise ValueError("due_on must not be before issued_on")
        if self.total != sum(item.amount for item in self.items):
            raise ValueError(
                "total must be the sum of the amounts; taxes and shipping are items too"
            )
        return self


async def read_invoice(text: str, model: ChatModel, *, tenant: str | None = None) -> Invoice:
    """Ask a model for the data of the invoice. Raises `LLMError`, also without a valid answer."""
    return await ask_for(Invoice, model, render(PROMPT, tenant=tenant, text=text))
