"""The metrics of the service's clients: their requests, refusals, tokens and cost."""

from app.telemetry.series import SeriesRegistry


class ClientMetrics(SeriesRegistry):
    def _measure_clients(self) -> None:
        self._client_requests = self._counter(
            "client_requests", "Requests of each client, by status.", ("client", "status")
        )
        self._client_unauthorized = self._counter(
            "client_unauthorized",
            "Requests without a valid client key: missing, malformed, unknown, expired.",
            ("reason",),
        )
        self._client_limited = self._counter(
            "client_limited", "Requests refused by a limit of the client.", ("client", "limit")
        )
        self._client_tokens = self._counter(
            "client_tokens",
            "Tokens that each client used, estimated where the provider reported none.",
            ("client",),
        )
        self._client_cost = self._counter(
            "client_cost_usd",
            "US dollars that each client spent, as far as the prices are known.",
            ("client",),
        )

    def client_request(self, client: str, status: int) -> None:
        self._client_requests[client, str(status)].inc()

    def client_unauthorized(self, reason: str) -> None:
        self._client_unauthorized[reason].inc()

    def client_limited(self, client: str, limit: str) -> None:
        self._client_limited[client, limit].inc()

    def client_used(self, client: str, tokens: int, nanousd: int) -> None:
        if tokens:
            self._client_tokens[client].inc(tokens)
        if nanousd:
            self._client_cost[client].inc(nanousd / 1_000_000_000)
