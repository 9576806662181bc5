"""The process: its signals, its socket, and the HTTP server."""

import os
import signal
import socket
import sys
from pathlib import Path

import structlog

from app import debugger
from app.configuration import sources
from app.configuration.confidential import mask_secrets
from app.connections import Connections
from app.http_server import Config, Server
from app.reload import serve_with_reload
from app.settings import Settings, load
from app.telemetry.logging import configure, log_crashes
from app.workers import Workers

_log = structlog.get_logger(__name__)

# Beyond it, new connections get answers to probes only, which bounds the memory of requests.
_MAX_CONNECTIONS = 2_000

# The kernel takes no more of an answer than this beyond what it has sent. Its own limit is 4 MB for each
# client that does not read, which counts as memory of the container.
_MAX_UNSENT_BYTES = 128 * 1024

_GRACE_BEFORE_RELOAD_S = 1

# Browsers take no other type for an answer than the one it has, and show none inside a page.
_HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),  # the same for old browsers
    ("referrer-policy", "no-referrer"),
]


# What a process serves: the API, or only the probes and metrics of a worker.
_API, _WORKER = "app.main:create_app", "app.main:create_worker"


def serve(*, reload: bool, is_worker: bool = False) -> None:
    # uvicorn raises the signal again after it has stopped; being asked to stop is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    settings = load()
    mask_secrets(settings)
    configure(settings.log)
    log_crashes()
    app = _API
    if is_worker:
        app, settings = _WORKER, _for_a_worker(settings)
    for name, meant in sources.mistyped(Settings).items():
        _log.warning("config.mistyped", variable=name, meant=meant)
    listeners = _listen(settings)
    if settings.workers > 1:
        if reload:
            sys.stderr.write("--reload serves with one process: set WORKERS to 1.\n")
            raise SystemExit(1)
        sys.exit(_workers(settings, listeners, app).run())
    if reload:
        settings = settings.model_copy(
            update={"shutdown_delay_s": 0.0, "shutdown_grace_s": _GRACE_BEFORE_RELOAD_S}
        )
        serve_with_reload(
            lambda: _serve(listeners, settings, app),
            _sources(),
            one_at_a_time=settings.debug_port is not None,
        )
    else:
        _serve(listeners, settings, app)


def _for_a_worker(settings: Settings) -> Settings:
    """No load balancer sends it requests, so it need not wait until these have ended."""
    if settings.redis_url is None:
        sys.stderr.write("A worker needs REDIS_URL. Without it jobs run in the API's process.\n")
        raise SystemExit(1)
    return settings.model_copy(update={"shutdown_delay_s": 0.0})


def _workers(settings: Settings, taken: list[socket.socket], app: str) -> Workers:
    """Workers on the ports of `taken`: these listeners had them alone, so they were free."""
    port = taken[0].getsockname()[1]
    for listener in taken:
        listener.close()

    def listen(index: int) -> list[socket.socket]:
        listeners = [_bound(settings.host, port, "PORT", shared=True)]
        if settings.admin_port is not None:
            listeners.append(_bound(settings.host, settings.admin_port + index, "ADMIN_PORT"))
        return listeners

    def work(index: int, listeners: list[socket.socket]) -> None:
        if settings.admin_port is not None:
            os.environ["ADMIN_PORT"] = str(settings.admin_port + index)  # `app.main` reads it
        _serve(listeners, settings, app)

    return Workers(settings.workers, listen, work)


def _listen(settings: Settings) -> list[socket.socket]:
    """Take the ports before anything else: that one is in use should not take a second to learn."""
    listener = _bound(settings.host, settings.port, "PORT")
    os.environ["PORT"] = str(listener.getsockname()[1])  # for PORT=0: the one that was free
    first = settings.admin_port
    admin_ports = [] if first is None else range(first, first + settings.workers)
    return [listener, *(_bound(settings.host, port, "ADMIN_PORT") for port in admin_ports)]


def _bound(host: str, port: int, variable: str, *, shared: bool = False) -> socket.socket:
    """Listen at a port; with `shared`, beside other listeners that share it (workers)."""
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=_MAX_CONNECTIONS,
            reuse_port=shared,
        )
    except OSError as error:
        sys.stderr.write(f"Cannot listen at {host}:{port}: {error.strerror}\n")
        sys.stderr.write(f"Set HOST and {variable} to an address that is free.\n")
        raise SystemExit(1) from None
    # Connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT_BYTES)
    return listener


def _sources() -> list[Path]:
    return [Path(__file__).parent, *sources.files(Settings)]


def _serve(listeners: list[socket.socket], settings: Settings, app: str) -> None:
    if settings.debug_port is not None:
        debugger.listen(settings.host, settings.debug_port)
        _log.info("debugger.listening", host=settings.host, port=settings.debug_port)
    config = Config(
        app,
        factory=True,
        http="app.http_protocol:HTTPProtocol",
        ws="none",
        lifespan="on",
        log_config=None,  # its lines take the way of ours
        access_log=False,  # ours says more and costs half
        server_header=False,
        headers=_HEADERS,
        proxy_headers=False,  # no code here asks for the caller's address, so none can be forged
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    places = Connections(total=_MAX_CONNECTIONS, per_address=settings.max_connections_per_address)
    from app.llm.prompts import PromptError  # noqa: PLC0415 - of this version, after a reload

    try:
        Server(config, places, shutdown_delay_s=settings.delay_of_shutdown_s).run(sockets=listeners)
    except PromptError as error:
        sys.stderr.write(f"A prompt cannot be used. {error}\n")
        raise SystemExit(1) from None
