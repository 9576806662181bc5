"""`python -m app` serves; `--reload` reloads after changes; `config` shows the configuration."""

import gc

# Objects created by imports are not garbage, and searching them would take a fifth of the start
# time. `app.main` switches garbage collection on again.
gc.disable()

from app.cli import main  # noqa: E402 - must come after the line above

if __name__ == "__main__":
    main()
