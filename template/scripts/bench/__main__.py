"""`make bench`: measures the costs of the service on this machine. `ARGS="telemetry log"` selects.

A benchmark is a function that yields figures, and a line in `BENCHMARKS`. The program fails if a
figure exceeds its limit, or with `--compare` if a ratio is worse than in a saved run.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scripts.bench import (
    baselines,
    calls,
    clients,
    growth,
    pieces,
    retrieval,
    saved,
    start,
    stores,
    telemetry,
    tracing,
    transport,
)
from scripts.bench.figure import Figure

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "baselines": baselines.service_and_baselines,
    "calls": calls.calls_of_a_request,
    "telemetry": telemetry.share_of_a_request,
    "tracing": tracing.on_and_off,
    "pieces": pieces.what_telemetry_is_made_of,
    "transport": transport.aiohttp_and_httpx2,
    "clients": clients.what_clients_cost,
    "retrieval": retrieval.what_a_search_costs,
    "growth": growth.what_more_requests_cost,
    "start": start.what_a_start_takes,
    "stores": stores.what_stores_cost,
}


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parsed(arguments)
    before = None if asked.compare is None else saved.load(asked.compare)
    figures = _measured(asked.benchmarks or list(BENCHMARKS))
    if asked.json is not None:
        saved.save(asked.json, figures)
    worse = [] if before is None else saved.regressions(figures, before)
    for line in worse:
        print(line)
    return 0 if not worse and all(figure.is_kept for figure in figures.values()) else 1


def _parsed(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="make bench", usage='make bench ARGS="[options] [benchmark ...]"')
    parser.add_argument("benchmarks", nargs="*", help=f"all, or some of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the figures in a file")
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="fail if a ratio is worse than in this file"
    )
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.benchmarks if name not in BENCHMARKS]:
        parser.error(f"no benchmark {unknown[0]}; choose from: {', '.join(BENCHMARKS)}")
    return asked


def _measured(names: Sequence[str]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for name in names:
        for figure in BENCHMARKS[name]():
            print(f"{name:<10} {figure.row()}", flush=True)
            figures[f"{name}: {figure.name}"] = figure
    return figures


if __name__ == "__main__":
    sys.exit(main())
