"""`python -m app` serves; `python -m app --reload` serves what is saved, as it is saved."""

import gc

# Nothing that is made while the program is imported is garbage; looking for some takes a fifth of
# the start. `app.main` switches it on again.
gc.disable()

from app.server import main  # noqa: E402 - after the line above, or it is too late

if __name__ == "__main__":
    main()
