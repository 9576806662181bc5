"""`make dev`, before anything starts: finds ports in use, an unreadable `.env`, and keys without effect.

It runs before packages are installed, as `make doctor` does.

Usage: python -m scripts.before_dev [--containers]
"""

import os
import subprocess
import sys
from collections.abc import Iterator

from scripts import doctor


def reasons(*, containers: bool) -> Iterator[str]:
    """The reasons not to start; none if it may start."""
    if flaw := doctor.flaw_of_env_file():
        yield f".env: {flaw}"
        return
    yield from useless_keys()
    if not (containers and are_up()):
        for finding in doctor.check_ports():
            if finding.mend:
                yield f"{finding.what}: {finding.mend}"


def useless_keys() -> Iterator[str]:
    """Keys in `.env` of chosen providers. A key in the shell may be there for other programs."""
    asked = os.environ.get("LLM_PROVIDERS") or doctor.in_env_file("LLM_PROVIDERS")
    for provider in doctor.without_address(set(doctor.set_in_env_file())):
        if not asked or provider.lower() in asked.lower():
            yield (
                f"{provider}_API_KEY is set in .env, but the mock API would answer: "
                f"set {provider}_BASE_URL too, or remove the key"
            )


def are_up() -> bool:
    """Whether containers of an earlier `make dev` have the ports; `make dev` uses them again."""
    listing = ["docker", "compose", "ps", "--quiet", "app"]
    return bool(subprocess.run(listing, capture_output=True, check=False).stdout.strip())


def main() -> int:
    found = list(reasons(containers="--containers" in sys.argv))
    for reason in found:
        print(f"make dev: {reason}", file=sys.stderr)
    return doctor.EX_CONFIG if found else 0


if __name__ == "__main__":
    sys.exit(main())
