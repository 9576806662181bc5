"""Limits of single clients: `CLIENTS__<NAME>__<FIELD>`, such as `CLIENTS__ACME__CONCURRENCY`.

A client's name is in lower case and may contain hyphens. Variables cannot contain hyphens, so they
have underscores instead: `CLIENTS__MOBILE_APP__…` is for `mobile-app` in `CLIENT_KEYS`.
"""

from collections.abc import Iterable, Iterator, Mapping

from app.clients.keys import client_name, is_client_name
from app.clients.policy import OF_ONE_CLIENT, OneClient

FieldPath = tuple[str, ...]

FIELD = "clients"
PREFIX = "CLIENTS__"
SPELLING = f"{PREFIX}<NAME>__…"


def path_of(variable: str) -> FieldPath | None:
    """The path of the field that a variable sets (in any case); `None` for other variables."""
    if not variable.upper().startswith(PREFIX):
        return None
    name, _, field = variable[len(PREFIX) :].rpartition("__")
    return (FIELD, client_name(name), field.lower())


def variable_of(path: Iterable[str]) -> str:
    return "__".join(path).replace("-", "_").upper()


def problems(given: Mapping[str, object]) -> dict[FieldPath, str]:
    """The errors in the names of clients and of their settings."""
    wrong: dict[FieldPath, str] = {}
    for name, limits in given.items():
        if isinstance(limits, OneClient):
            continue
        if not isinstance(limits, Mapping):
            wrong[name,] = "must have limits, such as requests_per_minute"
        elif not is_client_name(client_name(name)):
            why = (
                "the name of a client must begin with a letter and have only letters, digits and _"
            )
            wrong |= {(name, field): why for field in limits}
        else:
            why = f"is not a setting of a client; these are: {', '.join(OF_ONE_CLIENT).upper()}"
            wrong |= {(name, field): why for field in limits if field not in OF_ONE_CLIENT}
    return wrong


def shown(found: Mapping[str, OneClient]) -> Iterator[tuple[FieldPath, object, str]]:
    """All given settings of all clients: the path, the value, and its source if it is not given."""
    for name, limits in found.items():
        for field in OF_ONE_CLIENT:
            if (value := getattr(limits, field)) is not None:
                yield (FIELD, name, field), value, "default"
