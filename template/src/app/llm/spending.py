"""The guards that bound what callers spend: ceilings, and reservations in the client's account."""

from collections.abc import Collection

from app.clients.account import Account, current_account
from app.clients.ledger import Use
from app.errors import MaxTokensError, ModelNotAllowedError
from app.llm.estimates import AttemptUse, Estimator
from app.llm.guards.guard import Call, Guard, R, T, watch
from app.llm.opened_stream import Answer, Observer
from app.llm.types import ChatRequest, EmbeddingRequest


class Ceilings(Guard):
    """Refuses a request for a model, or for a length, that the service does not allow.

    `models` includes the configured models. `None` means that all models, or all lengths, are allowed.
    """

    def __init__(self, *, max_tokens: int | None, models: Collection[str] | None) -> None:
        self._max_tokens = max_tokens
        self._models = models

    async def around(self, request: R, call: Call[R, T]) -> T:
        self._check(request)
        return await call(request)

    def _check(self, request: ChatRequest | EmbeddingRequest) -> None:
        allowed = self._models is None or request.model is None or request.model in self._models
        if not allowed:
            raise ModelNotAllowedError("The service does not allow this model")
        asked = request.max_tokens if isinstance(request, ChatRequest) else None
        if self._max_tokens is not None and (asked or 0) > self._max_tokens:
            raise MaxTokensError(f"max_tokens must be at most {self._max_tokens}")


class Reserved(Guard):
    """Each call reserves its estimate in the client's account, or is refused before anything is sent.

    Most calls need no further reservation: that of the request covers them.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    async def around(self, request: R, call: Call[R, T]) -> T:
        account = current_account.get()
        if account is None or not account.reserves:
            return await call(request)
        estimate = self._estimator.of(request)
        if not account.begin(estimate):
            await self._extend(account, estimate)
        return await watch(_Running(account, estimate), call(request))

    @staticmethod
    async def _extend(account: Account, estimate: Use) -> None:
        try:
            await account.extend()
        except BaseException:
            account.end(estimate)
            raise


class _Running(Observer):
    def __init__(self, account: Account, estimate: Use) -> None:
        self._account = account
        self._estimate = estimate

    async def finished(self, answer: Answer) -> Answer:
        self._account.end(self._estimate)
        return answer

    async def failed(self, _error: BaseException) -> None:
        self._account.end(self._estimate)


class Charged(Guard):
    """Charges each attempt at a provider to the client's account, by the receipt of `Billed` below.

    Where the receipt does not have the whole usage, the attempt is charged with an estimate of the
    prompt and of the received text. Otherwise a client that cancels each stream would pay for none.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    async def around(self, request: R, call: Call[R, T]) -> T:
        account = current_account.get()
        if account is None or request.receipt is None:
            return await call(request)
        use = AttemptUse(self._estimator, self.name, request, request.receipt)
        attempt = _Attempt(account, use)
        return await watch(attempt, call(request))


class _Attempt(Observer):
    def __init__(self, account: Account, use: AttemptUse) -> None:
        self._account = account
        self._use = use

    async def finished(self, answer: Answer) -> Answer:
        self._account.charge(self._use.of(answer))
        return answer

    async def failed(self, _error: BaseException) -> None:
        self._account.charge(self._use.of_failure())
