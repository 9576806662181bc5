import math

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.admin_pages import is_open
from app.api.problems import on_llm_error
from app.clients.account import ANONYMOUS, Account, Accounts, current_account
from app.clients.policy import ClientLimits
from app.errors import ClientLimitError
from app.telemetry.correlation import client
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)

_Headers = list[tuple[bytes, bytes]]

_WINDOW_S = 60
_QUOTAS = {"requests", "tokens"}


class RequestLimits:
    """Holds each request to the limits of its client, before its body is read.

    Inside `ClientAuth`, which names the client. Without client keys all callers together are one
    client. The account is settled before the last byte of the answer: otherwise the client's next
    request could find its place still taken.

    Answers have the fields of draft-ietf-httpapi-ratelimit-headers-11: `RateLimit-Policy` with the
    limits, and `RateLimit` with what is left of them.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._policies: dict[str, bytes] = {}  # of each client: the limits never change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        accounts: Accounts | None = None
        if scope["type"] == "http" and not is_open(scope["path"]):
            accounts = scope["app"].state.accounts
        if accounts is None:
            await self._app(scope, receive, send)
            return
        name = client.get() or ANONYMOUS
        try:
            account = await accounts.open(name, _announced(scope))
        except ClientLimitError as error:
            self._refused(name, error)
            await _refuse(scope, receive, send, error, accounts.limits(name))
            return
        token = current_account.set(account)
        try:
            await self._app(scope, receive, self._settling(name, account, send))
        except ClientLimitError as error:
            self._refused(name, error)
            raise
        finally:
            current_account.reset(token)
            if not account.settle_at_once():
                await account.settle()
            self._metrics.client_used(name, *account.used)

    def _settling(self, name: str, account: Account, send: Send) -> Send:
        async def send_settled(message: Message) -> None:
            if message["type"] == "http.response.start":
                if fields := self._fields(name, account):
                    message = {**message, "headers": [*message.get("headers", ()), *fields]}
            elif not message.get("more_body", False) and not account.settle_at_once():
                await account.settle()
            await send(message)

        return send_settled

    def _fields(self, name: str, account: Account) -> _Headers:
        """What is left after this request was admitted. `t` is when all of the limit is free again."""
        policy = self._policies.get(name)
        if policy is None:
            policy = self._policies[name] = _policy(account.limits).encode()
        if not policy:
            return []
        return [(b"ratelimit-policy", policy), (b"ratelimit", _left(account))]

    def _refused(self, name: str, error: ClientLimitError) -> None:
        self._metrics.client_limited(name, error.limit)
        _log.info("client.limited", limit=error.limit, retry_after_s=error.retry_after_s)


async def _refuse(
    scope: Scope, receive: Receive, send: Send, error: ClientLimitError, limits: ClientLimits
) -> None:
    response = await on_llm_error(Request(scope), error)
    if error.limit in _QUOTAS:
        wait_s = math.ceil(error.retry_after_s or 0)
        response.headers["RateLimit"] = f'"{error.limit}";r=0;t={wait_s}'
    if policy := _policy(limits):
        response.headers["RateLimit-Policy"] = policy
    await response(scope, receive, send)


def _left(account: Account) -> bytes:
    limits, standing = account.limits, account.standing
    left = []
    if limits.requests_per_minute is not None:
        left.append(b'"requests";r=%d;t=%d' % (standing.requests_left, _WINDOW_S))
    if limits.tokens_per_minute is not None:
        left.append(b'"tokens";r=%d;t=%d' % (standing.tokens_left, _WINDOW_S))
    return b", ".join(left)


def _policy(limits: ClientLimits) -> str:
    """The limits as a list of structured fields. The draft has no unit for tokens, so none is named."""
    quotas = []
    if limits.requests_per_minute is not None:
        quotas.append(f'"requests";q={limits.requests_per_minute};w={_WINDOW_S}')
    if limits.tokens_per_minute is not None:
        quotas.append(f'"tokens";q={limits.tokens_per_minute};w={_WINDOW_S}')
    return ", ".join(quotas)


def _announced(scope: Scope) -> int:
    """The size of the body; 0 if it is not announced, because then the calls reserve their use."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
