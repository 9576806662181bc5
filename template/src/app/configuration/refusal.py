"""The end of a start with a wrong configuration: everything that is wrong, by name, without values."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from pydantic import ValidationError

EX_CONFIG = 78  # sysexits.h: the program is fine, its configuration is not


def problems(error: ValidationError) -> list[str]:
    """Write one line for each thing that is wrong: its variable, never its value."""
    lines = [
        f"{_variable(found['loc'])}: {found['msg'].removeprefix('Value error, ')}"
        for found in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return list(dict.fromkeys(lines))


def _variable(loc: tuple[int | str, ...]) -> str:
    return "_".join(part for part in loc if isinstance(part, str)).upper() or "settings"


def refuse(lines: Sequence[str]) -> NoReturn:
    report = [
        "The service cannot start with this configuration:",
        *(f"  {line}" for line in lines),
        "See .env.example for what each variable means.",
    ]
    sys.stderr.write("\n".join(report) + "\n")
    raise SystemExit(EX_CONFIG)
