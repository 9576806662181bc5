"""The process: its signals, its socket, and uvicorn on top of that."""

import os
import signal
import socket
import sys
from pathlib import Path

import structlog
import uvicorn

from app.configuration import sources
from app.reload import serve_what_is_saved
from app.settings import Settings, load
from app.telemetry.logging import configure

_log = structlog.get_logger(__name__)

# Open connections, idle ones included. Beyond it uvicorn answers 503 by itself, which keeps the
# memory of waiting requests bounded.
_MAX_CONNECTIONS = 2_000

# Kubernetes kills 30 s after it asks. What is answered by then is answered in full.
_DRAIN_S = 25
_DRAIN_BEFORE_RELOAD_S = 1


def serve(*, reload: bool) -> None:
    # uvicorn raises the signal again after it has stopped; being asked to stop is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    settings = load()
    configure(settings.log)
    for name, meant in sources.mistyped(Settings).items():
        _log.warning("config.mistyped", variable=name, meant=meant)
    listener = _listen(settings)
    if reload:
        serve_what_is_saved(lambda: _serve(listener, _DRAIN_BEFORE_RELOAD_S), _sources())
    else:
        _serve(listener, _DRAIN_S)


def _listen(settings: Settings) -> socket.socket:
    """Take the port before anything else: that it is in use should not take a second to learn."""
    try:
        listener = socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=_MAX_CONNECTIONS,
        )
    except OSError as error:
        sys.stderr.write(f"Cannot listen at {settings.host}:{settings.port}: {error.strerror}\n")
        sys.stderr.write("Set HOST and PORT to an address that is free.\n")
        raise SystemExit(1) from None
    os.environ["PORT"] = str(listener.getsockname()[1])  # for PORT=0: the one that was free
    return listener


def _sources() -> list[Path]:
    return [Path(__file__).parent, *sources.files(Settings)]


def _serve(listener: socket.socket, drain_s: int) -> None:
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,  # its lines take the way of ours
        access_log=False,  # ours says more and costs half
        server_header=False,
        proxy_headers=False,  # nothing here asks who the caller is, so nobody can be fooled
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=drain_s,
    )
    uvicorn.Server(config).run(sockets=[listener])
