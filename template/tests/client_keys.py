"""Keys of clients for tests, and their entries for `CLIENT_KEYS`."""

from hashlib import sha256

KEYS = {"acme": "ck_acme-0123456789", "globex": "ck_globex-0123456789"}


def entry(name: str, key: str | None = None, until: str = "") -> str:
    """The entry of a client; `until` is the day of its expiry."""
    digest = sha256((key or KEYS[name]).encode()).hexdigest()
    return f"{name}:{digest}" + (f":{until}" if until else "")


CLIENT_KEYS = ",".join(map(entry, KEYS))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
