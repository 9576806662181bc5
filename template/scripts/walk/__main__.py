"""`make walk`: prints the way of one request through the service, file by file.

`WAY=retried` shows one way; `PAGE=docs/one-request.md` writes all of them to that page.
"""

import asyncio
import os
import sys
from pathlib import Path

from scripts.walk.pages import as_page, as_text
from scripts.walk.ways import WAYS, walks


def main() -> None:
    way, page = os.environ.get("WAY", ""), os.environ.get("PAGE", "")
    if way and way not in WAYS:
        sys.exit(f"make walk: there is no way {way}; choose one of: {', '.join(WAYS)}")
    taken = asyncio.run(walks([way] if way and not page else list(WAYS)))
    if page:
        Path(page).write_text(as_page(taken))
        print(f"make walk: {page} is written")
    else:
        print(as_text(taken))


if __name__ == "__main__":
    main()
