"""`make replay ID=… LOG=service.log`: plays a recorded request against the code of today.

`LOG` is a file with the log in JSON, or `-` for standard input. `SETTINGS` has the variables that
the recorded service had, such as `REQUEST_TIMEOUT_S=10`. `SAVE=name` keeps the replay as a test. The
exit status is 1 if the replayed request takes another way.
"""

import fileinput
import os
import re
import sys
from typing import NoReturn

from pydantic import ValidationError

from scripts.lab.replay import files
from scripts.lab.replay.build import Replay, replay_of
from scripts.lab.replay.compare import replayed, table
from scripts.lab.replay.recorded import NotReplayableError, attempts, facts, lines_of


def main() -> None:
    request_id, log = os.environ.get("ID", ""), os.environ.get("LOG", "")
    if not request_id or not log:
        _refuse("usage: make replay ID=… LOG=service.log (the X-Request-ID of an answer)")
    try:
        replay = _recorded(request_id, log)
        found = replayed(replay)
    except (NotReplayableError, ValidationError, OSError) as error:
        _refuse(f"make replay: {request_id}: {error}")
    print(table(replay.recorded, found))
    if name := os.environ.get("SAVE", ""):
        _save(name, replay)
    sys.exit(0 if found == replay.recorded else 1)


def _recorded(request_id: str, log: str) -> Replay:
    with fileinput.input([log], encoding="utf-8", errors="replace") as texts:
        lines = lines_of(request_id, texts)
    settings = dict(
        pair.split("=", 1) for pair in os.environ.get("SETTINGS", "").split() if "=" in pair
    )
    return replay_of(f"The request {request_id}", attempts(lines), facts(lines), settings)


def _save(name: str, replay: Replay) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        _refuse(f"make replay: SAVE={name}: use small letters, digits and hyphens")
    path = files.save(name, replay)
    print(f"saved as incidents/replays/{path.name}: tests/lab/test_replay.py plays it from now on")


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
