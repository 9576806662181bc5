"""The service as `make bench` runs it: `with` its logs and metrics, or `without`.

Nobody switches these off in earnest, so the service has no switch. What follows takes them out of
this one process, before anything of it is imported that would have them built in.
"""

import gc
import os
import sys
import time

gc.disable()  # as `app.__main__` does; `create_app` switches it on again

import uvicorn  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from app.telemetry import observed  # noqa: E402

BLIND = sys.argv[1] == "without"
if BLIND:
    os.environ["LOG_LEVEL"] = "ERROR"
    observed.__dict__["observed"] = lambda _name: lambda function: function

from app import main as assembly  # noqa: E402
from app import wiring  # noqa: E402
from app.api import middleware  # noqa: E402
from app.telemetry.metrics import Metrics  # noqa: E402
from app.telemetry.tracing import Tracer  # noqa: E402


def main() -> None:
    app = blind() if BLIND else assembly.create_app()
    app.add_api_route("/_cpu", cpu)
    uvicorn.run(
        app, port=int(os.environ["PORT"]), http="httptools", log_config=None, access_log=False
    )


def blind() -> FastAPI:
    assembly.__dict__["stack"] = unmeasured
    wiring.__dict__["Instrumented"] = lambda model, *_args, **_kwargs: model
    for name in ("breaker_state", "cache", "fallback", "limiter_wait", "retry"):
        setattr(Metrics, name, lambda *_args, **_kwargs: None)
    return assembly.create_app()


def unmeasured(metrics: Metrics, *, debug: bool, tracer: Tracer) -> list[Middleware]:
    layers = middleware.stack(metrics, debug=debug, tracer=tracer)
    return [layer for layer in layers if "metrics" not in layer.kwargs]


async def cpu() -> float:
    return time.process_time()


if __name__ == "__main__":
    main()
