"""Measures what keys, limits and budgets of clients cost per request, in CPU time without Redis.

A request runs through the middleware and the guards of clients, around an answer that is there at
once, and without an event loop. A figure is the time of that request minus the time of the same
request without clients. `yard` is a SHA-256 and a comparison in constant time: a ratio to it can be
compared with that of another machine, or of a busy moment.
"""

import timeit
from collections.abc import Awaitable, Callable, Iterator, Sequence
from hashlib import sha256
from hmac import compare_digest
from time import process_time
from types import SimpleNamespace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.client_auth import ClientAuth
from app.api.middleware.client_limits import RequestLimits
from app.clients.account import Accounts
from app.clients.keys import ClientKey, KeyRing
from app.clients.ledger import LocalLedger
from app.clients.policy import NO_LIMITS, ClientLimits
from app.llm.costs import PriceList, Receipt
from app.llm.estimates import Estimator
from app.llm.guards.guard import Guard, stacked
from app.llm.guards.instrumented import Billed
from app.llm.price_files import current_prices
from app.llm.providers.policy import ProviderPolicy
from app.llm.spending import Charged, Reserved
from app.llm.types import ChatRequest, LLMResponse
from app.llm.types import Message as ChatMessage
from app.telemetry.metrics import Metrics
from app.testing import FakeChatModel
from scripts.bench.figure import Figure

_CALLS = 2_000
_ROUNDS = 15
_KEYS = 10
_KEY = b"ck_" + b"k" * 43
_POLICY = ProviderPolicy("http://bench.test", model="gpt-5-mini", name="fake", vendor="openai")
_LIMITS = ClientLimits(
    requests_per_minute=1_000_000_000,
    tokens_per_minute=1_000_000_000,
    concurrency=1_000,
    budget_usd_per_day=1_000_000,
)
_MESSAGES = (ChatMessage("user", "Where is the Zugspitze?"),)
_START: Message = {"type": "http.response.start", "status": 200, "headers": []}
_BODY: Message = {"type": "http.response.body", "body": b"{}", "more_body": False}
_HEADERS = [
    (b"host", b"bench.test"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer " + _KEY),
    (b"content-length", b"120"),
]

Request = Callable[[], None]


def what_clients_cost() -> Iterator[Figure]:
    bare = _request(guards=False)
    requests = {
        f"a key, of {_KEYS}": _request(guards=False, keys=True),
        "an account without limits": _request(limits=NO_LIMITS),
        "an account with all four limits": _request(limits=_LIMITS),
        "a key, and an account with all four limits": _request(keys=True, limits=_LIMITS),
    }
    taken = _taken([_yard, bare, *requests.values()])
    yard_us, bare_us = taken[0], taken[1]
    yield Figure("yard: a SHA-256, compared in constant time", yard_us, "µs")
    for name, us in zip(requests, taken[2:], strict=True):
        yield Figure(name, us - bare_us, "µs")
        yield Figure("   the same, in yards", (us - bare_us) / yard_us, "x")


def _taken(calls: Sequence[Request]) -> list[float]:
    """The least time of each call, in µs. They take turns, so that a busy moment is in all of them."""
    least = [float("inf")] * len(calls)
    for _ in range(_ROUNDS):
        for place, call in enumerate(calls):
            seconds = timeit.timeit(call, number=_CALLS, timer=process_time)
            least[place] = min(least[place], seconds / _CALLS * 1e6)
    return least


def _yard() -> None:
    digest = sha256(_KEY).digest()
    compare_digest(digest, digest)


def _request(
    *, guards: bool = True, keys: bool = False, limits: ClientLimits | None = None
) -> Request:
    prices, metrics = current_prices(), Metrics()
    estimator = Estimator(prices, [_POLICY])
    app = _answering(prices, [Reserved(estimator), Charged(estimator)] if guards else [])
    state = SimpleNamespace(accounts=None)
    if limits is not None:
        state.accounts = Accounts(
            LocalLedger(), defaults=limits, clients={}, estimate=estimator.of_body
        )
        app = RequestLimits(app, metrics=metrics)
    if keys:
        app = ClientAuth(app, keys=_ring(), metrics=metrics)
    scope: Scope = {"type": "http", "path": "/v1/chat", "headers": _HEADERS}
    scope["app"] = SimpleNamespace(state=state)
    return lambda: _run(app(scope, _receive, _send))


def _ring() -> KeyRing:
    keys = [*(b"%d" % number for number in range(_KEYS - 1)), _KEY]
    return KeyRing([ClientKey("acme", sha256(key).digest()) for key in keys])


class _Model(FakeChatModel):
    """Gives the same answer at once."""

    def __init__(self) -> None:
        super().__init__()
        self._answer = self.response("On the border of Bavaria.")

    async def complete(self, request: ChatRequest) -> LLMResponse:  # noqa: ARG002
        return self._answer


def _answering(prices: PriceList, guards: Sequence[Guard]) -> ASGIApp:
    model = stacked(_Model(), [*guards, Billed(prices, vendor="openai")])

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await model.complete(
            ChatRequest(_MESSAGES, model="gpt-5-mini", max_tokens=256, receipt=Receipt())
        )
        await send(_START)
        await send(_BODY)

    return app


async def _send(_message: Message) -> None: ...


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _run(work: Awaitable[None]) -> None:
    """Run a coroutine that never waits."""
    for _ in work.__await__():
        raise RuntimeError("the request waits")
