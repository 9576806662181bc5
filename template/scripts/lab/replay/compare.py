"""Plays a replay in simulated time, and compares its log with the recorded one."""

from itertools import zip_longest

from scripts.lab.play import play_logged
from scripts.lab.replay.build import Replay
from scripts.lab.replay.recorded import Fact, facts


def table(recorded: list[Fact], replayed: list[Fact]) -> str:
    rows = [("", "recorded", "replayed")]
    rows += [
        ("same" if one == other else "DIFFERS", _text(one), _text(other))
        for one, other in zip_longest(recorded, replayed)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def replayed(replay: Replay) -> list[Fact]:
    _, lines = play_logged(replay)
    return facts(line for line in lines if "request_id" in line)


def _text(fact: Fact | None) -> str:
    """`llm.retry openai attempt=1 …`: the values of names that say nothing more stand alone."""
    if fact is None:
        return "-"
    shown = [
        str(value) if name in {"event", "provider"} else f"{name}={value}"
        for name, value in fact.items()
    ]
    return " ".join(shown)
