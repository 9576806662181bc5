"""Keeps the figures of a run in a file, and finds those of a later run that are worse.

Only ratios with a spread are compared: two programs took turns within one run, so other load on the
machine is in both. A ratio is worse if the middle halves of its two runs do not overlap.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.bench.figure import Figure

Figures = Mapping[str, Figure]  # by benchmark and name


def save(path: Path, figures: Figures) -> None:
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }
    saved = {"machine": machine, "figures": {key: asdict(figures[key]) for key in figures}}
    path.write_text(json.dumps(saved, indent=2, ensure_ascii=False) + "\n")


def load(path: Path) -> Figures:
    try:
        saved = json.loads(path.read_text())["figures"]
        return {key: _figure(fields) for key, fields in saved.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"make bench: {path} is not a file that --json wrote: {error!r}")


def _figure(fields: dict[str, Any]) -> Figure:
    spread = fields.pop("spread")
    return Figure(**fields, spread=None if spread is None else (spread[0], spread[1]))


def regressions(now: Figures, before: Figures) -> list[str]:
    """A line for each ratio that is worse. Exits if the runs have no ratio in common."""
    compared = [key for key in now if key in before and now[key].spread and before[key].spread]
    if not compared:
        sys.exit("make bench: the runs have no ratio in common; select the same benchmarks")
    return [
        _change(key, now[key], before[key]) for key in compared if _worse(now[key], before[key])
    ]


def _worse(now: Figure, before: Figure) -> bool:
    return now.spread is not None and before.spread is not None and now.spread[0] > before.spread[1]


def _change(key: str, now: Figure, before: Figure) -> str:
    return f"REGRESSION {key}: {before.row().strip()} -> {now.row().removeprefix(now.name).strip()}"
