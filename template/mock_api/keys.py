"""API keys: all are accepted, except some that are refused for tests."""


def bearer(authorization: str | None) -> str:
    """The key in an `Authorization` header; empty if there is none."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def is_refused(key: str) -> bool:
    return key.startswith("invalid")


def is_missing_model(name: str) -> bool:
    return name.startswith("missing-")
