"""`make simulate`: many replicas of the service in virtual time, with the real guards.

`ARGS="down --replicas 1000 --rate 100000"`: one scenario. `docs/scale.md` explains them.

Two other words need a Redis, that of `REDIS_URL`, which nothing else uses: `ARGS=compare` sends the
same requests to four real processes, and `ARGS=measure` measures Redis.
"""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from scripts.simulate.compare import CONDITIONS, best_of
from scripts.simulate.measure import measure
from scripts.simulate.play import play
from scripts.simulate.report import report
from scripts.simulate.scenario import SCENARIOS, Size

_COMPARE, _MEASURE = "compare", "measure"
_TRIES = 3


def main(arguments: Sequence[str] | None = None) -> int:
    asked, size = _parsed(arguments)
    if asked.scenarios == [_MEASURE]:
        print(*asyncio.run(measure(_redis_url())), sep="\n")
        return 0
    if asked.scenarios == [_COMPARE]:
        return _compare(asked.seed)
    for name in asked.scenarios or SCENARIOS:
        print(f"{name}: {report(play(SCENARIOS[name], size, asked.seed))}\n", flush=True)
    return 0


def _compare(seed: int) -> int:
    agree = True
    for name, condition in CONDITIONS.items():
        pair = best_of(_TRIES, condition, _redis_url(), seed)
        print(f"{name}: {condition.title}\n{pair}\n", flush=True)
        agree &= pair.agrees
    return 0 if agree else 1


def _redis_url() -> str:
    if url := os.environ.get("REDIS_URL"):
        return url
    sys.exit(
        "make simulate: this needs a Redis that nothing else uses. Start one, and name it:"
        " REDIS_URL=redis://127.0.0.1:6379/0 make simulate ARGS=…"
    )


def _parsed(arguments: Sequence[str] | None) -> tuple[Namespace, Size]:
    usage = 'make simulate ARGS="[scenarios] [options]"'
    parser = ArgumentParser(prog="make simulate", usage=usage)
    names = ", ".join(SCENARIOS)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"{names}; all of them")
    parser.add_argument("--replicas", type=int, default=1000, help="of the deployment (1000)")
    parser.add_argument("--rate", type=float, default=100_000, help="requests a second (100000)")
    parser.add_argument("--shrink", type=int, default=100, help="simulate one of so many (100)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the random moments (1)")
    asked = parser.parse_args(arguments)
    if asked.scenarios not in ([_COMPARE], [_MEASURE]) and (
        unknown := set(asked.scenarios) - set(SCENARIOS)
    ):
        parser.error(
            f"there is no scenario {', '.join(sorted(unknown))}; choose of: {names}; or compare, measure"
        )
    try:
        return asked, Size(asked.replicas, asked.rate, asked.shrink)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
