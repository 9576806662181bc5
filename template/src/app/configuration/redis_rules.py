"""Validators of the settings of Redis: its address, and the files for TLS."""

import ssl
from pathlib import Path
from urllib.parse import urlencode

from pydantic import SecretStr, ValidationInfo

_FORM = (
    "must be like redis://user:password@host:6379/0, with options that redis-py knows; "
    "in a password / is %2F, # is %23 and ? is %3F"
)


def validate_redis_url(value: SecretStr) -> SecretStr:
    """Refuse what redis-py refuses. Its error messages are dropped: they repeat the password."""
    from app.redis.address import AddressError, parsed  # noqa: PLC0415 - most need no Redis
    from app.redis.topology import validate_options  # noqa: PLC0415

    try:
        validate_options(parsed(value.get_secret_value()))
    except AddressError:
        raise
    except Exception:  # noqa: BLE001 - of several libraries, and none of them names its errors
        raise ValueError(_FORM) from None
    return value


def validate_redis_file(value: Path, info: ValidationInfo) -> Path:
    url: SecretStr | None = info.data.get("redis_url")
    if url is None or not url.get_secret_value().startswith("rediss"):
        raise ValueError("needs a REDIS_URL with TLS, which begins with rediss")
    try:
        text = value.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ValueError(f"the file cannot be read ({reason}): it must be a PEM file") from None
    if "-----BEGIN " not in text:
        raise ValueError("the file is no PEM file")
    return value


def validate_redis_ca(value: Path, info: ValidationInfo) -> Path:
    validate_redis_file(value, info)
    try:
        ssl.create_default_context(cafile=value)
    except ssl.SSLError:
        raise ValueError("the file has no certificates that can be read") from None
    return value


def validate_redis_key(value: Path | None, info: ValidationInfo) -> Path | None:
    """Load the certificate with its key: otherwise the first connection would fail, without a reason."""
    certificate: Path | None = info.data.get("redis_cert_file")
    if value is not None:
        validate_redis_file(value, info)
        if certificate is None:
            raise ValueError("needs REDIS_CERT_FILE, the certificate of this key")
    if certificate is not None:
        try:
            ssl.create_default_context().load_cert_chain(certificate, value, password=_no_password)
        except (ssl.SSLError, ValueError):
            raise ValueError(
                "must be the key of the certificate in REDIS_CERT_FILE, without a password"
            ) from None
    return value


def _no_password() -> str:
    """Without it, OpenSSL asks for the password of a key at the terminal."""
    return ""


def with_files(url: str, files: dict[str, Path | None]) -> str:
    """The address with redis-py's options for TLS: all users of the address have them."""
    options = urlencode({name: str(file) for name, file in files.items() if file is not None})
    return url + ("&" if "?" in url else "?") + options if options else url
