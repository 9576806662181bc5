"""A request that is refused. Raised by whoever notices, written down by the provider's dialect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


class Refusal(Exception):
    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        field: tuple[str | int, ...] = (),
        code: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.code = code
        self.retry_after = retry_after

    @property
    def kind(self) -> int:
        """The status whose words fit an unusual one: 400 or 500."""
        return 400 if self.status // 100 == 4 else 500  # noqa: PLR2004 - HTTP


@dataclass(frozen=True)
class Dialect:
    """How one provider words its errors and names its request-id header."""

    request_id_header: str
    error_body: Callable[[Refusal, str], Mapping[str, object]]
