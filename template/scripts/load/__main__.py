"""`make load`: sends streams at a steady rate to the service and directly to the mock API, and compares.

The load is open: each request has its time before the run starts, as with real users: they do not wait until another
user has an answer. Times count from that moment, so a server that falls behind cannot hide it.
"""

import asyncio
import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from scripts.bench.telemetry import running
from scripts.load.picture import picture
from scripts.load.report import report
from scripts.load.run import Load, Target, run

DIRECT, SERVICE = "direct", "service"
# As a fast model answers: 200 ms until the first text, then 100 tokens a second.
_MOCK = {"latency_ms": 200, "tokens_per_second": 100}
_PICTURE = Path(".cache/load.svg")


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parsed(arguments)
    load = Load(rate=asked.rate, seconds=asked.seconds, seed=asked.seed)
    with _targets(asked) as targets:
        print(f"{asked.rate:g} requests a second for {asked.seconds:g} s to: {_names(targets)}")
        samples = asyncio.run(run(targets, load))
    print(report(samples))
    _save(asked.picture, picture(samples, load))
    print(f"picture: {asked.picture}")
    return 0 if all(sample.is_answered for sample in samples) else 1


def _parsed(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="make load", usage='make load ARGS="[options]"')
    parser.add_argument("--rate", type=_positive, default=20.0, help="requests a second (20)")
    parser.add_argument("--seconds", type=_positive, default=10.0, help="length of the run (10)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the times of requests (1)")
    parser.add_argument(
        "--url", help="measure a running service; its client key is read from CLIENT_KEY"
    )
    parser.add_argument("--picture", type=Path, default=_PICTURE, help=f"SVG file ({_PICTURE})")
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"a number above 0 is needed, not {text!r}")
    return value


@contextmanager
def _targets(asked: Namespace) -> Iterator[list[Target]]:
    if asked.url is not None:
        yield [Target(SERVICE, f"{asked.url.rstrip('/')}/openai/v1", os.environ.get("CLIENT_KEY"))]
        return
    with running("mock_api") as mock, running("app", mock=mock) as service:
        httpx2.put(f"{mock}/_mock/faults", json=_MOCK, trust_env=False).raise_for_status()
        yield [Target(DIRECT, f"{mock}/v1", "any-key"), Target(SERVICE, f"{service}/openai/v1")]


def _names(targets: Sequence[Target]) -> str:
    return ", ".join(f"{target.name} ({target.base_url})" for target in targets)


def _save(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
