"""What a call used and cost: the tokens of an answer, and the receipt of all attempts of a call."""

from dataclasses import dataclass, field
from operator import not_
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt


class Usage(BaseModel):
    """Tokens as the provider counts them. All zeros mean that the provider did not report them.

    Tokens read from or written to the provider's prompt cache are part of `prompt_tokens` and have
    other prices. For written ones, some providers report how many are kept for five minutes and how
    many for an hour. Reasoning tokens are part of `completion_tokens`. `service_tier` is a tier
    with its own prices (priority, flex, batch). In JSON these fields appear only if they have a
    value.
    """

    model_config = ConfigDict(frozen=True)

    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    total_tokens: NonNegativeInt
    cached_prompt_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    cache_write_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    cache_write_5m_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    cache_write_1h_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    reasoning_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    service_tier: str | None = Field(default=None, exclude_if=not_)

    @property
    def is_known(self) -> bool:
        """Whether the provider reported the usage."""
        return self.prompt_tokens > 0 or self.completion_tokens > 0

    @property
    def by_kind(self) -> dict[str, int]:
        """The tokens of the prompt and the completion, and the special kinds that are part of them."""
        kinds = {"prompt": self.prompt_tokens, "completion": self.completion_tokens}
        if self.cached_prompt_tokens:
            kinds["cached_prompt"] = self.cached_prompt_tokens
        if self.cache_write_tokens:
            kinds["cache_write"] = self.cache_write_tokens
        if self.reasoning_tokens:
            kinds["reasoning"] = self.reasoning_tokens
        return kinds

    def plus(self, other: "Usage") -> "Usage":
        counts = {
            name: value + getattr(other, name) for name, value in self if isinstance(value, int)
        }
        return Usage(**counts, service_tier=self.service_tier or other.service_tier)


# The reason why a cost is unknown: the model has no price; the answer had no usage; or the attempt
# ended before the provider reported the whole usage.
UnknownCost = Literal[
    "no_price", "no_usage", "timed_out", "interrupted", "malformed", "cancelled", "unexpected"
]


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The reported part of an answer that broke off and that no caller gets.

    `final`: `usage` is the whole cost of the answer. `characters`: the length of the received text.
    """

    usage: Usage | None
    final: bool = False
    characters: int = 0


@dataclass(slots=True)
class Receipt:
    """The duration and cost of all attempts of one call, as far as the provider reported them.

    It is passed down with the request, because a cancelled attempt has no answer and no error that
    could return it. The provider's client writes `broken_off` for the attempt in progress.
    """

    broken_off: BrokenOff | None = None
    attempts: int = 0
    provider_s: float = 0.0
    usage: Usage | None = None
    cost_usd: float | None = None
    answer_cost_usd: float | None = None  # of the last attempt alone
    unknown: list[UnknownCost] = field(default_factory=list)
    characters: int = 0  # of received text, if its tokens are not in `usage`

    def charge(self, usage: Usage, cost_usd: float | None) -> None:
        """Add the cost of an attempt."""
        self.usage = usage if self.usage is None else self.usage.plus(usage)
        self.answer_cost_usd = cost_usd
        if cost_usd is not None:
            self.cost_usd = cost_usd + (self.cost_usd or 0.0)
