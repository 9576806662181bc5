"""`make logs ID=…`: shows all events of one request, in order, from the service's log.

    flow.py ID [FILE …]    FILE: `-` or nothing for standard input

The id is a request id or a trace id. Both formats of the log and the output of `docker compose
logs` are understood. It uses only the standard library, so it runs with any Python.
"""

import fileinput
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOT_FACTS = {"timestamp", "level", "event", "logger", "request_id", "trace_id", "exception"}

COMPOSE = re.compile(r"^[\w.-]+\s+\| ?")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
CONSOLE = re.compile(
    r"(?P<timestamp>\d{4}-\d\d-\d\dT\S+Z) \[(?P<level>\w+) *\] (?P<event>.*?) +\[[\w.]+\]"
    r"(?P<facts>.*)"
)
ID = re.compile(r"\b(?:request_id|trace_id)=(\S+) ?")


@dataclass
class Entry:
    """One event. `more` is the text below it: a traceback."""

    timestamp: str
    level: str
    event: str
    facts: str
    ids: set[str]
    more: list[str] = field(default_factory=list)

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.timestamp)


def main() -> int:
    if not any(sys.argv[1:2]):
        sys.exit("usage: make logs ID=… (the X-Request-ID of an answer)")
    wanted, files = sys.argv[1], sys.argv[2:]
    try:
        with fileinput.input(files, encoding="utf-8", errors="replace") as lines:
            found = flow(wanted, lines)
            looked_at = lines.lineno()
    except OSError as error:
        sys.exit(f"make logs: {error.filename}: {error.strerror}")
    if not found:
        sys.exit(f"make logs: none of {looked_at} lines has the id {wanted}")
    print("\n".join(told(found)))
    return 0


def flow(wanted: str, lines: Iterable[str]) -> list[Entry]:
    """The events of one request; events of several processes are sorted by time."""
    mine = [entry for entry in entries(lines) if wanted in entry.ids]
    return sorted(mine, key=lambda entry: entry.time)


def entries(lines: Iterable[str]) -> Iterator[Entry]:
    """Each event, with the lines after it that begin no new event."""
    current: Entry | None = None
    for raw in lines:
        line = COLOUR.sub("", COMPOSE.sub("", raw)).rstrip("\n")
        begun = from_json(line) or from_console(line)
        if begun is None:
            if current is not None:
                current.more.append(line)
            continue
        if current is not None:
            yield current
        current = begun
    if current is not None:
        yield current


def from_json(line: str) -> Entry | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
        return Entry(
            timestamp=event["timestamp"],
            level=event["level"],
            event=event["event"],
            facts=" ".join(f"{k}={shown(v)}" for k, v in event.items() if k not in NOT_FACTS),
            ids={event.get("request_id"), event.get("trace_id")},
            more=[text for error in event.get("exception", ()) for text in traceback(error)],
        )
    except (ValueError, KeyError):  # half a line, or a line of another program
        return None


def shown(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value)


def traceback(error: dict[str, Any]) -> Iterator[str]:
    for frame in error["frames"]:
        yield f"{frame['filename']}:{frame['lineno']} {frame['name']}"
    yield f"{error['exc_type']}: {error['exc_value']}"


def from_console(line: str) -> Entry | None:
    found = CONSOLE.fullmatch(line)
    if found is None:
        return None
    return Entry(
        timestamp=found["timestamp"],
        level=found["level"],
        event=found["event"],
        facts=ID.sub("", found["facts"]).strip(),
        ids=set(ID.findall(found["facts"])),
    )


def told(found: list[Entry]) -> Iterator[str]:
    start = found[0].time
    width = max(len(entry.event) for entry in found)
    for entry in found:
        elapsed_ms = (entry.time - start).total_seconds() * 1000
        what = f"{entry.level:<8} {entry.event:<{width}}  {entry.facts}"
        yield f"{elapsed_ms:6.0f} ms  {what}".rstrip()
        yield from (f"            {line}" for line in entry.more)


if __name__ == "__main__":
    sys.exit(main())
