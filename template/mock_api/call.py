"""The intake's data about a request, passed to routes and replies in the ASGI scope."""

from dataclasses import dataclass

from starlette.types import Scope

from mock_api.faults import Fault
from mock_api.oddities import Oddity
from mock_api.refusal import Dialect

_KEY = "mock_api.call"


@dataclass(frozen=True)
class Call:
    body: bytes
    digest: str  # of method, path and body; all ids in an answer are derived from it
    dialect: Dialect
    fault: Fault
    oddity: Oddity

    @property
    def request_id(self) -> str:
        return f"req_{self.digest}"

    def attach(self, scope: Scope) -> None:
        scope[_KEY] = self


def call_of(scope: Scope) -> Call:
    call = scope[_KEY]
    assert isinstance(call, Call)  # noqa: S101 - scopes are untyped; only the intake sets this
    return call
