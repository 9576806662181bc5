"""The keys of clients: parsed from the settings, and compared in constant time.

The settings contain no key, only its SHA-256. A key has 256 random bits (`make client-key`), so its
hash needs no salt and no slow function: there is no dictionary of such keys.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Literal

Refusal = Literal["missing", "malformed", "unknown", "expired"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 64
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FORM = "name:sha256 or name:sha256:2027-01-31 (`make client-key` prints it)"


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key of a client. `expires_on` is the last day, in UTC, on which it is valid."""

    name: str
    digest: bytes = field(repr=False)
    expires_on: date | None = None

    def __str__(self) -> str:
        """The key with its hash masked, for `python -m app config`."""
        until = "" if self.expires_on is None else f":{self.expires_on}"
        return f"{self.name}:***{until}"


class InvalidKeyError(Exception):
    """The presented key belongs to no client. `reason` is for the log, not for the caller."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason: Refusal = reason


def _today() -> date:
    return datetime.now(UTC).date()


class KeyRing:
    """All keys of all clients."""

    def __init__(self, keys: Iterable[ClientKey], *, today: Callable[[], date] = _today) -> None:
        self._keys = tuple(keys)
        self._digests = tuple((key.digest, key) for key in self._keys)
        self._today = today

    @property
    def clients(self) -> frozenset[str]:
        return frozenset(key.name for key in self._keys)

    def owner(self, presented: bytes) -> str:
        """The name of the client with this key. Raises `InvalidKeyError`.

        Every call compares the whole hash with every key of the ring, so its duration says nothing
        about the keys.
        """
        digest = sha256(presented).digest()
        found: ClientKey | None = None
        compare = compare_digest
        for known, key in self._digests:
            if compare(known, digest):
                found = key
        if found is None:
            raise InvalidKeyError("unknown")
        if found.expires_on is not None and found.expires_on < self._today():
            raise InvalidKeyError("expired")
        return found.name


def client_name(name: str) -> str:
    """The canonical spelling of a client's name: `Mobile_App` is `mobile-app`."""
    return name.strip().lower().replace("_", "-")


def is_client_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def parse_keys(value: object) -> object:
    """Parse a comma-separated list, a JSON object, or a mapping from names to hashes.

    Raises a `ValueError` that names the place of the error and never repeats a value, because the
    value may be a key.
    """
    if value is None or (isinstance(value, tuple) and all(map(_is_parsed, value))):
        return value
    keys = [_parsed(place, entry) for place, entry in enumerate(_entries(value), 1)]
    if not keys:
        raise ValueError(f"has no key; an entry is {_FORM}")
    _refuse_shared(keys)
    return tuple(keys)


def _is_parsed(value: object) -> bool:
    return isinstance(value, ClientKey)


def _entries(value: object) -> Iterator[str]:
    if isinstance(value, str):
        value = _decoded(value) if value.lstrip().startswith("{") else value.split(",")
    if isinstance(value, Mapping):
        for name, hashes in value.items():
            for entry in hashes if isinstance(hashes, list) else [hashes]:
                yield f"{name}:{entry}"
    else:
        entries = value if isinstance(value, list | tuple) else [value]
        yield from (str(entry) for entry in entries if str(entry).strip())


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("begins with { and is not JSON") from None


def _parsed(place: int, entry: str) -> ClientKey:
    name, _, rest = entry.partition(":")
    digest, colon, until = rest.partition(":")
    name = client_name(name)
    if not is_client_name(name) or not _SHA256.fullmatch(digest.strip()):
        raise ValueError(
            f"entry {place} must be {_FORM}; the name has letters, digits and hyphens, and the hash "
            "64 hexadecimal digits"
        )
    return ClientKey(name, bytes.fromhex(digest.strip()), _day(place, until) if colon else None)


def _day(place: int, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"entry {place} must end with a day like 2027-01-31") from None


def _refuse_shared(keys: Iterable[ClientKey]) -> None:
    """Refuse one key for two clients, and an entry that occurs twice."""
    seen: set[bytes] = set()
    for place, key in enumerate(keys, 1):
        if key.digest in seen:
            raise ValueError(f"entry {place} has the hash of an earlier entry")
        seen.add(key.digest)
