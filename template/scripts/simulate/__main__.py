"""`make simulate`: many replicas of the service in virtual time, with the real guards.

`ARGS="down --replicas 1000 --rate 100000"`: one scenario. `docs/scale.md` explains them.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from scripts.simulate.play import play
from scripts.simulate.report import report
from scripts.simulate.scenario import SCENARIOS, Size


def main(arguments: Sequence[str] | None = None) -> int:
    asked, size = _parsed(arguments)
    for name in asked.scenarios or SCENARIOS:
        print(f"{name}: {report(play(SCENARIOS[name], size, asked.seed))}\n", flush=True)
    return 0


def _parsed(arguments: Sequence[str] | None) -> tuple[Namespace, Size]:
    usage = 'make simulate ARGS="[scenarios] [options]"'
    parser = ArgumentParser(prog="make simulate", usage=usage)
    names = ", ".join(SCENARIOS)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"{names}; all of them")
    parser.add_argument("--replicas", type=int, default=1000, help="of the deployment (1000)")
    parser.add_argument("--rate", type=float, default=100_000, help="requests a second (100000)")
    parser.add_argument("--shrink", type=int, default=50, help="simulate one of so many (50)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the random moments (1)")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.scenarios) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; choose of: {names}")
    try:
        return asked, Size(asked.replicas, asked.rate, asked.shrink)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
