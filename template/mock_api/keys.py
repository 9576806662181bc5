"""API keys: any will do, except those made to be refused."""


def bearer(authorization: str | None) -> str:
    """The key of an `Authorization` header, empty when there is none."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def is_refused(key: str) -> bool:
    return key.startswith("invalid")


def is_missing_model(name: str) -> bool:
    return name.startswith("missing-")
