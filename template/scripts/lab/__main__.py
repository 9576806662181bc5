"""`make lab`: a page that plays incidents against the service, live.

`INCIDENT=storm` plays one of them in simulated time instead, and compares its pledges; `INCIDENT=all`
plays all of them. The exit status is 1 if a pledge is broken.
"""

import os
import sys

from scripts.lab.incident import load, names
from scripts.lab.live.serve import serve
from scripts.lab.play import play, verdicts
from scripts.lab.report import as_text

_ALL = "all"


def main() -> None:
    chosen, known = os.environ.get("INCIDENT", ""), names()
    if not chosen:
        serve()
        return
    if chosen not in {_ALL, *known}:
        sys.stderr.write(
            f"make lab: there is no incident {chosen}; choose one of: {', '.join([*known, _ALL])}\n"
        )
        sys.exit(2)
    kept = [_is_kept(name) for name in (known if chosen == _ALL else [chosen])]
    sys.exit(0 if all(kept) else 1)


def _is_kept(name: str) -> bool:
    incident = load(name)
    recording = play(incident)
    found = verdicts(incident, recording)
    print(as_text(name, incident, recording, found), flush=True)
    return all(verdict.is_kept for verdict in found)


if __name__ == "__main__":
    main()
