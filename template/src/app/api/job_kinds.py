"""What a feature offers to jobs: it defines `KIND` in a module `job.py` of its directory.

`app.features.jobs` finds these modules. It is the only reader, so neither feature imports the other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from app.api.services import Services
from app.errors import LLMError

I = TypeVar("I")  # noqa: E741 - an input

# The result of one item as JSON values, or the reason why it has none.
ItemResult = dict[str, Any] | LLMError


async def _is_valid(_item: object, _tenant: str | None, _services: Services) -> None:
    """Most inputs have no rules beyond those of their type."""


def _unchanged(result: dict[str, Any]) -> dict[str, Any]:
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind(Generic[I]):
    """One kind of items.

    `run` gets up to `items_per_call` items and returns a result for each, in order; or it raises an
    `LLMError` for all of them. A worker takes `calls_per_batch` such calls at a time: more is more
    work that may be repeated when a worker is killed.

    `in_batches`: the first call of an item to `services.chat` may go through a provider's batch (mode
    `batch` of a job).

    `check` raises a `RequestValidationError`. `shown` turns a stored result into that of the answer.
    """

    name: str
    item: TypeAdapter[I]
    schema: Any  # the type of an item, for the body of the endpoint
    run: Callable[[Sequence[I], Services, str | None], Awaitable[Sequence[ItemResult]]]
    items_per_call: int = 1
    calls_per_batch: int = 8
    in_batches: bool = False
    check: Callable[[I, str | None, Services], Awaitable[None]] = _is_valid
    shown: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged

    @property
    def items_per_batch(self) -> int:
        return self.items_per_call * self.calls_per_batch
