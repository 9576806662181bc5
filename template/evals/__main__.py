"""`make eval`: ask a data set, report, compare with the run before, and say whether it was good enough.

Exit codes: 0 good enough, or no gate was set; 1 a gate was missed; 2 it could not be found out (a bad
data set, an unknown run, no answer at all). A wrong configuration ends it with 78, as it ends the
service; Ctrl-C with 130.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from app.errors import LLMError
from app.llm.batch_store import UnusableBatchStoreError
from app.settings import load
from evals import exports, report, terminal
from evals.cases import NAME, BadDataSetError
from evals.gates import Gates
from evals.outcome import Outcome
from evals.runs import UnusableRunError
from evals.session import Session, UnanswerableError

HERE = Path(__file__).parent
_GATE_MISSED, _UNKNOWN, _INTERRUPTED = 1, 2, 130
_CONCURRENCY = 8
# Reasons why there is no result.
_UNUSABLE = (
    BadDataSetError,
    UnusableRunError,
    UnanswerableError,
    UnusableBatchStoreError,
    LLMError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = _checked(_arguments(), arguments)
    session = Session(
        data_set=wanted.data_set,
        runs=wanted.runs,
        name=wanted.name,
        against=wanted.against,
        concurrency=wanted.concurrency or _CONCURRENCY,
        repeat=wanted.repeat,
        batch=wanted.batch,
        gates=Gates(wanted.min_pass, wanted.max_worse),
    )
    try:
        if wanted.cancel:
            number = session.cancel(load(), wanted.cancel)
            sys.stdout.write(f"{wanted.cancel}: batches cancelled: {number}\n")
            return 0
        ended = session.saved(wanted.saved) if wanted.saved else session.run(load())
        return _told(ended, wanted.export)
    except _UNUSABLE as error:
        sys.stderr.write(f"{error}\n")
        return _UNKNOWN
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Start it again to continue: the answers so far are kept.\n")
        return _INTERRUPTED


def _checked(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    wanted = parser.parse_args(arguments)
    if wanted.batch and wanted.concurrency is not None:
        parser.error("--concurrency: with --batch all questions are asked at the same time")
    if wanted.batch and (wanted.saved or wanted.cancel):
        parser.error("--batch: with --saved or --cancel nothing is asked")
    return wanted


def _told(outcome: Outcome, formats: Sequence[str]) -> int:
    console = terminal.standard_output()
    terminal.show(outcome, console)
    page = report.write(outcome)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    if outcome.is_empty:
        sys.stderr.write("Nothing was answered, so nothing can be said about the answers.\n")
        return _UNKNOWN
    for name in formats:
        file = exports.export(outcome, name)
        console.print(f"For {name}: {file}", highlight=False, soft_wrap=True)
    return _GATE_MISSED if outcome.missed else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evals",
        description="Ask a data set, and compare with the run before.",
        epilog="exit codes: 0 good enough; 1 a gate was missed; 2 it could not be found out",
    )
    add = parser.add_argument
    add("data_set", nargs="?", type=Path, default=HERE / "datasets/service.jsonl")
    which = parser.add_mutually_exclusive_group().add_argument
    which("--name", type=_name, help="of the run; one that exists is continued (default: the time)")
    which("--saved", type=_name, help="show, compare and export this earlier run; ask nothing")
    which("--cancel", type=_name, help="cancel the batches of this run that was broken off")
    add("--against", type=_name, help="the run to compare with (default: the one before)")
    add("--runs", type=Path, default=HERE / "runs", help="directory of the runs")
    add("--concurrency", type=_positive, help=f"questions at a time ({_CONCURRENCY})")
    add(
        "--batch",
        action="store_true",
        help="ask in the provider's batches: half price, up to a day",
    )
    add("--repeat", type=_positive, help="trials of each case (1, or as in the continued run)")
    formats = sorted(exports.FORMATS)
    add("--export", action="append", default=[], choices=formats, help="write a file for this tool")
    add("--min-pass", type=_share, help="gate: the share of trials that pass, for example 0.9")
    add("--max-worse", type=_count, help="gate: how many cases may be worse")
    return parser


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: letters, digits, dots, dashes")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: 0, 1, 2 …")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: a number from 0 to 1")
    return share


if __name__ == "__main__":
    sys.exit(main())
