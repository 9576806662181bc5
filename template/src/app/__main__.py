"""`python -m app` serves; `--reload` serves what is saved; `config` shows what it would serve with."""

import gc

# Nothing that is made while the program is imported is garbage; looking for some takes a fifth of
# the start. `app.main` switches it on again.
gc.disable()

from app.command import main  # noqa: E402 - after the line above, or it is too late

if __name__ == "__main__":
    main()
