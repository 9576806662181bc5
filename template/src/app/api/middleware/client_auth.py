from collections.abc import Iterable

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware.admin_pages import is_open
from app.api.problems import ProblemResponse, forbidden, unauthorized
from app.clients.keys import InvalidKeyError, KeyRing
from app.telemetry.correlation import client
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)

# A key of `make client-key` has 46 characters. A longer text is refused before it is hashed.
_MAX_KEY_BYTES = 512

_MISSING = "A key is required, as `Authorization: Bearer …` or `X-API-Key: …`."
_INVALID = "The key is not valid."
_OTHER_TENANT = "X-Tenant-ID must be the name of the client, or begin with the name and a colon."

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class ClientAuth:
    """Refuses requests without a valid client key, before their body is read.

    Every path needs a key, except the probes and the pages of the operator (`admin_pages`): a new
    route cannot be left open by mistake. The client's name becomes the value of
    `app.telemetry.correlation.client`, and `Correlation` resets it.

    A client may only name tenants of its own name space, `acme` or `acme:…`, so that no two clients
    can share an answer.
    """

    def __init__(self, app: ASGIApp, *, keys: KeyRing, metrics: Metrics) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            name = self._keys.owner(presented_key(scope["headers"]))
        except InvalidKeyError as error:
            await self._refuse(error)(scope, receive, send)
            return
        client.set(name)
        if not _is_own_tenant(name, scope["headers"]):
            _log.warning("client.forbidden_tenant")
            await ProblemResponse(forbidden(_OTHER_TENANT))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(self, error: InvalidKeyError) -> ProblemResponse:
        """All invalid keys get the same answer; the log has the reason."""
        self._metrics.client_unauthorized(error.reason)
        _log.info("client.unauthorized", reason=error.reason)
        detail = _MISSING if error.reason == "missing" else _INVALID
        return ProblemResponse(unauthorized(detail), _CHALLENGE)


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The key of a request. Raises `InvalidKeyError` without exactly one well-formed key.

    With two different keys it would depend on the order of checks which client the request belongs to.
    """
    bearer = api_key = None
    for name, value in headers:
        if name == b"authorization":
            bearer = _only(bearer, _bearer(value))
        elif name == b"x-api-key":
            api_key = _only(api_key, _well_formed(value))
    if bearer is not None and api_key is not None and bearer != api_key:
        raise InvalidKeyError("malformed")
    found = bearer or api_key
    if found is None:
        raise InvalidKeyError("missing")
    return found


def _only(earlier: bytes | None, value: bytes) -> bytes:
    if earlier is not None:
        raise InvalidKeyError("malformed")
    return value


def _bearer(value: bytes) -> bytes:
    scheme, _, key = value.partition(b" ")
    if scheme.lower() != b"bearer":
        raise InvalidKeyError("malformed")
    return _well_formed(key)


def _well_formed(value: bytes) -> bytes:
    key = value.strip()
    if not key or len(key) > _MAX_KEY_BYTES or not key.isascii():
        raise InvalidKeyError("malformed")
    return key


def _is_own_tenant(name: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for header, value in headers:
        if header == b"x-tenant-id" and value.partition(b":")[0] != name.encode():
            return False
    return True
