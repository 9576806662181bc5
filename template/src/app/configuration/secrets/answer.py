"""Sends a request to a secrets manager over HTTP and parses its JSON answer."""

import json

import httpx2 as httpx

from app.configuration.text_file import SourceError, SourceUnavailableError

_OVERLOADED = 429
_BROKEN = 500


def ask(client: httpx.Client, method: str, url: str, body: object = None) -> object:
    """Raise `SourceUnavailableError` for a temporary failure, and `SourceError` for a refusal.

    The manager's message is not repeated, because it may contain the refused credentials.
    """
    try:
        answer = client.request(method, url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceUnavailableError(
            "SECRETS_MANAGER", f"{_host(client)} does not answer ({type(error).__name__})"
        ) from None
    if answer.status_code == _OVERLOADED or answer.status_code >= _BROKEN:
        raise SourceUnavailableError(
            "SECRETS_MANAGER", f"{_host(client)} answers {answer.status_code}"
        )
    if not answer.is_success:
        raise SourceError(
            "SECRETS_MANAGER",
            f"{_host(client)} answers {answer.status_code} to {method} {answer.url.path}",
        )
    return parsed(answer.text)


def parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise SourceError("SECRETS_NAME", "the secret's content is not JSON") from None


def at(found: object, *keys: str) -> object:
    """Return the value at the path of keys in an answer, or `None`."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _host(client: httpx.Client) -> str:
    return client.base_url.netloc.decode()
