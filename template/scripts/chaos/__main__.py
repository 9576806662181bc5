"""`make chaos`: attacks the production container, and compares it with its limits.

`ARGS="head memory"` selects groups of rows, and `ARGS="overload --set QUEUE_LENGTH=10000"` runs them with other
settings, for example with a limit switched off. It needs Docker and Python, and no package.
"""

import asyncio
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from scripts.chaos import edge, load, neighbours, replicas, rolling, stop
from scripts.chaos.engine import Engine, EngineError, running_engine, why_not
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
    parser.add_argument(
        "--replacements", type=int, default=3, help="replicas to replace in the group rolling (3)"
    )
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.groups if name not in GROUPS]:
        parser.error(f"no group {unknown[0]}; choose from: {', '.join(GROUPS)}")
    if wrong := [pair for pair in asked.set if "=" not in pair]:
        parser.error(f"--set {wrong[0]}: write NAME=VALUE")
    return asked


async def _until_signal(attacks: AsyncIterator[bool]) -> int:
    """Run the rows; SIGINT and SIGTERM end them, and their containers are removed.

    Also where a shell has started the command in the background, with SIGINT ignored.
    """
    task = asyncio.current_task()
    if task is not None:
        with suppress(NotImplementedError):  # Windows
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return 0 if all([is_kept async for is_kept in attacks]) else 1


async def _attacks(asked: Namespace) -> AsyncIterator[bool]:
    settings = dict(pair.split("=", 1) for pair in asked.set)
    async with running_engine(asked.image, settings, asked.replacements) as engine:
        print(HEADER)
        for name in asked.groups or GROUPS:
            async for row in GROUPS[name](engine):
                print(row.line(name), flush=True)
                yield row.is_kept


if __name__ == "__main__":
    sys.exit(main())
