"""The debugger of development: with `DEBUG_PORT` an editor attaches to the running service.

debugpy usually starts its debug adapter as another process. That process would outlive the service
and keep the port, so that the next version of the code could not listen after a reload. Here the
adapter is a thread of the service.
"""

import os
import socket
import sys


def listen(host: str, port: int) -> None:
    """Wait for a debugger in the background; end the process if the port is in use.

    debugpy itself would then wait for its thread without end.
    """
    try:
        _bind(host, port)
    except OSError as error:
        sys.stderr.write(f"A debugger cannot attach at {host}:{port}: {error.strerror}\n")
        sys.stderr.write("Set DEBUG_PORT to a port that is free.\n")
        raise SystemExit(1) from None
    # A warning about the standard library's modules that are part of Python's binary.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import debugpy  # noqa: PLC0415 - a package of development only

    debugpy.listen((host, port), in_process_debug_adapter=True)


def _bind(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as debugpy does
        probe.bind((host, port))
