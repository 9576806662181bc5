"""The ids that connect all log lines, spans and provider calls of one request.

A `ContextVar` is visible in every task that a request starts. So a log line or a call to a provider
finds the id, and functions do not have to pass it as a parameter.

`Correlation` in `app.api.middleware.requests` sets them.
"""

from contextvars import ContextVar, Token
from types import TracebackType

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
# The name of the authenticated client: a configured name, so it may be the label of a metric.
client: ContextVar[str | None] = ContextVar("client", default=None)
# The tenant of a request without a client's name: its `X-Tenant-ID`. A caller chooses it, so it is
# never a label.
tenant: ContextVar[str | None] = ContextVar("tenant", default=None)


def trace_id(parent: str) -> str:
    return parent[3:35]


class under:  # noqa: N801 - reads as a statement, like `suppress` and `closing`
    """Run a block as a child of the span `parent`, a value of `traceparent`; `None`: of no span."""

    __slots__ = ("_parent", "_token")

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._token: Token[str | None] | None = None

    def __enter__(self) -> None:
        if traceparent.get() != self._parent:
            self._token = traceparent.set(self._parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            traceparent.reset(self._token)
