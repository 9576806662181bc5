"""Why Postgres cannot be used, in a word for the log."""

from collections.abc import Mapping

from psycopg import OperationalError, errors

# By the first characters of the SQL state. Source: Postgres' documentation, appendix A.
_STATES: Mapping[str, str] = {
    "28": "credentials refused",
    "3D": "no such database",
    "53100": "disk full",
    "53300": "too many connections",
    "57014": "no answer in time",
    "57P0": "starting or stopping",
    "40": "conflict",
}
# libpq has no state for errors before Postgres answers, only a message.
_MESSAGES: Mapping[str, str] = {
    "certificate": "certificate refused",
    "SSL": "no TLS",
    "password authentication failed": "credentials refused",
    "no password supplied": "credentials refused",
    "does not exist": "no such database or role",
    "too many clients": "too many connections",
    "starting up": "starting or stopping",
    "shutting down": "starting or stopping",
    "no pg_hba.conf entry": "not permitted",
}


def reason(error: Exception) -> str:
    if isinstance(error, OperationalError) and error.sqlstate is not None:
        return next(
            (why for state, why in _STATES.items() if error.sqlstate.startswith(state)), "failed"
        )
    if isinstance(error, TimeoutError | errors.ConnectionTimeout):
        return "no answer in time"
    said = str(error)
    return next((why for words, why in _MESSAGES.items() if words in said), "no connection")
