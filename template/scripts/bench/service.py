"""Runs the service for `make bench`, `with` its logs and metrics or `without` them.

The service has no switch for them, because no deployment turns them off. This program removes them
from its own process before it imports the modules that use them.
"""

import gc
import os
import resource
import sys
import time
from typing import Any

gc.disable()  # as in `app.__main__`; `create_app` switches it on again

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


def main() -> None:
    app = blind() if BLIND else assembly.create_app()
    app.add_api_route("/_cpu", cpu)
    app.add_api_route("/_memory", memory)
    uvicorn.run(
        app, port=int(os.environ["PORT"]), http="httptools", log_config=None, access_log=False
    )


def blind() -> FastAPI:
    assembly.__dict__["stack"] = unmeasured
    wiring.__dict__["Billed"] = lambda model, *_args: model
    wiring.__dict__["Instrumented"] = lambda model, *_args, **_kwargs: model
    for name in ("cache", "fallback", "limiter_wait", "retry"):
        setattr(Metrics, name, lambda *_args, **_kwargs: None)
    return assembly.create_app()


def unmeasured(metrics: Metrics, **choices: Any) -> list[Middleware]:  # noqa: ANN401 - passed on
    layers = middleware.stack(metrics, **choices)
    return [layer for layer in layers if "metrics" not in layer.kwargs]


async def cpu() -> float:
    return time.process_time()


async def memory() -> float:
    """The largest resident memory so far, in the unit of the system: compare two values."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
