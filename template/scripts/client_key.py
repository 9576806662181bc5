"""Makes a key for a client, prints it once, and prints the entry for CLIENT_KEYS: `make client-key NAME=acme`.

Standard library only: it also runs where the service is not installed.
"""

import argparse
import re
import sys
from datetime import date
from hashlib import sha256
from secrets import token_urlsafe

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 64
_RANDOM_BYTES = 32


def new_key() -> str:
    return f"ck_{token_urlsafe(_RANDOM_BYTES)}"


def entry(name: str, key: str, expires_on: date | None) -> str:
    until = "" if expires_on is None else f":{expires_on.isoformat()}"
    return f"{name}:{sha256(key.encode()).hexdigest()}{until}"


def _name(text: str) -> str:
    name = text.strip().lower().replace("_", "-")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise argparse.ArgumentTypeError(
            "NAME begins with a letter and has letters, digits and hyphens, up to 64"
        )
    return name


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise argparse.ArgumentTypeError("EXPIRES is a day like 2027-01-31") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="make client-key", description="Make a client key.")
    parser.add_argument("name", type=_name)
    parser.add_argument("--expires", type=_day, default=None)
    wanted = parser.parse_args()
    key = new_key()
    sys.stdout.write(
        f"The key, for the client only. It is not stored; this is the only time it is shown:\n"
        f"  {key}\n"
        f"The entry for CLIENT_KEYS (entries are separated by commas):\n"
        f"  {entry(wanted.name, key, wanted.expires)}\n"
    )


if __name__ == "__main__":
    main()
