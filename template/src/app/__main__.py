"""`python -m app` serves; `--reload` reloads after changes; `config` shows the configuration."""

import gc
import sys

# structlog and tenacity import these if they are installed, as in the environment of `make install`:
# 4 MB and 0.1 s for tracebacks and coroutines that the service does not use. None hides a package.
_NOT_USED = ("rich", "tornado")
sys.modules.update(dict.fromkeys(_NOT_USED))  # type: ignore[arg-type]

# Objects created by imports are not garbage, and searching them would take a fifth of the start
# time. `app.main` switches garbage collection on again.
gc.disable()

from app.cli import main  # noqa: E402 - must come after the lines above

for name in _NOT_USED:
    del sys.modules[name]

if __name__ == "__main__":
    main()
