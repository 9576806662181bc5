"""Checks the address of Postgres without connecting. No message repeats it: it has a password."""

from importlib.util import find_spec

from pydantic import SecretStr

_TLS_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
# With these a server that offers no TLS gets the password without it.
_MAYBE_TLS = frozenset({"allow", "prefer"})
_LAST_PORT = 65535

MISSING = (
    "postgres needs the packages of the extra postgres: make lock STORE=postgres, and install or "
    "build again"
)


def validate_postgres_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    if is_installed() and not _is_usable(_options(url)):
        raise ValueError(
            "must be like postgresql://user:password@host:5432/database?sslmode=verify-full, with "
            "options that libpq knows; in a password / is %2F, # is %23, ? is %3F and @ is %40"
        )
    return value


def is_installed() -> bool:
    return find_spec("psycopg") is not None and find_spec("psycopg_pool") is not None


def is_tls_decided(value: SecretStr) -> bool:
    """Whether the address tells to use TLS or not to use it, or is a socket of this machine."""
    options = _options(value.get_secret_value()) or {}
    is_local = options.get("host", "/").startswith("/")
    return is_local or options.get("sslmode", "prefer") not in _MAYBE_TLS


def _options(url: str) -> dict[str, str] | None:
    from psycopg import ProgrammingError  # noqa: PLC0415 - of the extra `postgres`
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        return {name: str(option) for name, option in conninfo_to_dict(url).items()}
    except ProgrammingError:
        return None


def _is_usable(options: dict[str, str] | None) -> bool:
    if options is None:
        return False
    ports = options.get("port", "5432").split(",")
    are_ports = all(port.isdecimal() and 0 < int(port) <= _LAST_PORT for port in ports)
    return are_ports and options.get("sslmode", "prefer") in _TLS_MODES
