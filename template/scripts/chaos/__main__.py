"""`make chaos`: attacks the production container, and compares it with its limits.

`ARGS="head memory"` selects groups of rows, and `ARGS="overload --set QUEUE_LENGTH=10000"` runs them with other
settings, for example with a limit switched off. It needs Docker and Python, and no package.
"""

import asyncio
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from scripts.chaos import edge, load, neighbours, replicas, rolling, stop
from scripts.chaos.engine import Engine, EngineError, Sizes, running_engine, why_not
from scripts.chaos.row import HEADER, Row

GROUPS: dict[str, Callable[[Engine], AsyncIterator[Row]]] = {
    "text": edge.slow_text,
    "head": edge.endless_head,
    "slow": edge.slow_clients,
    "answers": edge.own_answers,
    "overload": load.overload,
    "memory": load.memory,
    "isolation": neighbours.isolation,
    "stop": stop.stop,
    "rolling": rolling.rolling,
    "replicas": replicas.replicas,
    "redis": neighbours.redis,
}
_INTERRUPTED = 130
MOST_REPLICAS = 6  # the servers of nginx.conf


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parsed(arguments)
    if reason := why_not():
        print(f"make chaos: {reason}", file=sys.stderr)
        return 1
    if asked.check:
        return 0
    try:
        return asyncio.run(_until_signal(_attacks(asked)))
    except EngineError as error:
        print(f"make chaos: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _INTERRUPTED


def parsed(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="make chaos", usage='make chaos ARGS="[options] [group ...]"')
    parser.add_argument("groups", nargs="*", help=f"all, or some of: {', '.join(GROUPS)}")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--image", help="the production image")
    target.add_argument("--check", action="store_true", help="only see whether Docker answers")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the service"
    )
    _add_sizes(parser)
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.groups if name not in GROUPS]:
        parser.error(f"no group {unknown[0]}; choose from: {', '.join(GROUPS)}")
    if wrong := [pair for pair in asked.set if "=" not in pair]:
        parser.error(f"--set {wrong[0]}: write NAME=VALUE")
    return asked


def _add_sizes(parser: ArgumentParser) -> None:
    for name, default, most, what in (
        ("replacements", Sizes.replacements, 1_000, "replicas to replace in the group rolling"),
        ("replicas", Sizes.replicas, MOST_REPLICAS, "replicas of the group replicas"),
        ("rate", Sizes.per_s, 10_000, "questions a second in the group replicas"),
        ("seconds", Sizes.phase_s, 600, "length of its phases without replacements"),
    ):
        parser.add_argument(
            f"--{name}", type=_up_to(most), default=int(default), help=f"{what} ({default:g})"
        )


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isdecimal() and 1 <= int(text) <= most):
            raise ArgumentTypeError(f"write a number from 1 to {most}, not {text!r}")
        return int(text)

    return number


async def _until_signal(attacks: AsyncIterator[bool | None]) -> int:
    """Run the rows; SIGINT and SIGTERM end them, and their containers are removed.

    Also where a shell has started the command in the background, with SIGINT ignored.
    """
    task = asyncio.current_task()
    if task is not None:
        with suppress(NotImplementedError):  # Windows
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return 1 if False in [is_kept async for is_kept in attacks] else 0


async def _attacks(asked: Namespace) -> AsyncIterator[bool | None]:
    settings = dict(pair.split("=", 1) for pair in asked.set)
    sizes = Sizes(asked.replacements, asked.replicas, asked.rate, asked.seconds)
    async with running_engine(asked.image, settings, sizes) as engine:
        print(HEADER)
        for name in asked.groups or GROUPS:
            async for row in GROUPS[name](engine):
                print(row.line(name), flush=True)
                yield row.is_kept


if __name__ == "__main__":
    sys.exit(main())
