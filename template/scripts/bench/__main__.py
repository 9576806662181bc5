"""`make bench`: what things cost on this machine, as a table. `ARGS="telemetry log"` chooses.

A benchmark is a function that yields figures, and a line in `BENCHMARKS`. A figure with a limit
that is not kept makes the program fail.
"""

import sys
from collections.abc import Callable, Iterator

from scripts.bench import pieces, retrieval, telemetry, tracing
from scripts.bench.figure import Figure

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "telemetry": telemetry.share_of_a_request,
    "tracing": tracing.on_and_off,
    "pieces": pieces.what_telemetry_is_made_of,
    "retrieval": retrieval.what_a_search_costs,
}


def main() -> int:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        sys.exit(f"make bench: no benchmark {unknown[0]}; there are: {', '.join(BENCHMARKS)}")
    kept = True
    for name in chosen:
        for figure in BENCHMARKS[name]():
            print(f"{name:<10} {figure.row()}", flush=True)
            kept = kept and figure.is_kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
