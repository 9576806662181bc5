"""A run as a file that another evaluation tool reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from pydantic import JsonValue

from evals.inspect_log import eval_log
from evals.outcome import Outcome
from evals.promptfoo import results_file


@dataclass(frozen=True, slots=True)
class Format:
    """`file` is a template of the file's name, with `ended` (when the run got its last answer) and `name`."""

    content: Callable[[Outcome, datetime], dict[str, JsonValue]]
    file: str


FORMATS: Mapping[str, Format] = {
    # `inspect view` lists only files with a name that begins with a time.
    "inspect": Format(eval_log, "{ended:%Y-%m-%dT%H-%M-%S}-{name}.inspect.json"),
    "promptfoo": Format(results_file, "{name}.promptfoo.json"),
}


def export(outcome: Outcome, to: str) -> Path:
    """Write the run beside itself in a format of `FORMATS`; the path of the file."""
    run = outcome.run.path
    ended = datetime.fromtimestamp(run.stat().st_mtime, UTC).replace(microsecond=0)
    path = run.with_name(FORMATS[to].file.format(ended=ended, name=outcome.run.name))
    path.write_bytes(orjson.dumps(FORMATS[to].content(outcome, ended), option=orjson.OPT_INDENT_2))
    return path
