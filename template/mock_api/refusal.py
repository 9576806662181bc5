"""A refused request. Any layer raises it, and the provider's dialect encodes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


class RefusalError(Exception):
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
        """The status with a known message, for an unusual status: 400 or 500."""
        return 400 if self.status // 100 == 4 else 500  # noqa: PLR2004 - HTTP


@dataclass(frozen=True)
class Dialect:
    """A provider's error format, the name of its request-id header, its pings."""

    request_id_header: str
    error_body: Callable[[RefusalError, str], Mapping[str, object]]
    ping: bytes
