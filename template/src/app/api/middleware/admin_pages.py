from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import ProblemResponse, http_problem

# For load balancers and orchestrators, on every port, always without a key.
_PROBES = frozenset({"/healthz", "/readyz"})
# For the operator: they show routes, providers, clients and costs.
_PAGES = frozenset({"/", "/metrics", "/metrics/summary", "/docs", "/openapi.json"})
_PAGE_FILES = "/docs/assets/"
_OPEN = _PROBES | _PAGES

_NOT_FOUND = 404


class AdminPages:
    """Serves the pages of the operator on the ports that may have them, and nothing else on `ADMIN_PORT`.

    With an admin port, these pages exist on that port only. Without one they exist on the service's
    port if `on_main_port`, and otherwise nowhere. A page that is not served is a 404.
    """

    def __init__(self, app: ASGIApp, *, admin_port: int | None, on_main_port: bool) -> None:
        self._app = app
        self._admin_port = admin_port
        self._on_main_port = on_main_port and admin_port is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_served(scope):
            await self._app(scope, receive, send)
            return
        await ProblemResponse(http_problem(_NOT_FOUND, "Not Found"))(scope, receive, send)

    def _is_served(self, scope: Scope) -> bool:
        path = scope["path"]
        if path in _PROBES:
            return True
        if self._admin_port is not None and _port(scope) == self._admin_port:
            return _is_page(path)
        return self._on_main_port or not _is_page(path)


def is_open(path: str) -> bool:
    """Whether a path needs no client key: the probes, and the pages that `AdminPages` serves."""
    return path in _OPEN or path.startswith(_PAGE_FILES)


def _is_page(path: str) -> bool:
    return path in _PAGES or path.startswith(_PAGE_FILES)


def _port(scope: Scope) -> int | None:
    """The port of the listener that accepted the connection, not the one in the `Host` header."""
    server = scope.get("server")
    return None if server is None else server[1]
