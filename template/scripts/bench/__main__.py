"""`make bench`: measures the costs of the service on this machine. `ARGS="telemetry log"` selects.

A benchmark is a function that yields figures, and a line in `BENCHMARKS`. The program fails if a
figure exceeds its limit.
"""

import sys
from collections.abc import Callable, Iterator

from scripts.bench import clients, pieces, retrieval, telemetry, tracing, transport
from scripts.bench.figure import Figure

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "telemetry": telemetry.share_of_a_request,
    "tracing": tracing.on_and_off,
    "pieces": pieces.what_telemetry_is_made_of,
    "transport": transport.aiohttp_and_httpx2,
    "clients": clients.what_clients_cost,
    "retrieval": retrieval.what_a_search_costs,
}


def main() -> int:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        sys.exit(f"make bench: no benchmark {unknown[0]}; choose from: {', '.join(BENCHMARKS)}")
    kept = True
    for name in chosen:
        for figure in BENCHMARKS[name]():
            print(f"{name:<10} {figure.row()}", flush=True)
            kept = kept and figure.is_kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
