"""One question to a secrets manager over HTTP, and its answer as JSON."""

import json

import httpx2 as httpx

from app.configuration.unreadable import Unreachable, Unreadable

_OVERLOADED = 429
_BROKEN = 500


def ask(client: httpx.Client, method: str, url: str, body: object = None) -> object:
    """Raise `Unreachable` for what may pass, and `Unreadable` for a refusal.

    What the manager says is not repeated: it may quote the credentials that it refuses.
    """
    try:
        answer = client.request(method, url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(
            "SECRETS_MANAGER", f"{_host(client)} does not answer ({type(error).__name__})"
        ) from None
    if answer.status_code == _OVERLOADED or answer.status_code >= _BROKEN:
        raise Unreachable("SECRETS_MANAGER", f"{_host(client)} answers {answer.status_code}")
    if not answer.is_success:
        raise Unreadable(
            "SECRETS_MANAGER",
            f"{_host(client)} answers {answer.status_code} to {method} {answer.url.path}",
        )
    return parsed(answer.text)


def parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise Unreadable("SECRETS_NAME", "what is there is not JSON") from None


def at(found: object, *keys: str) -> object:
    """Follow the keys into an answer; nothing is there when one of them is not."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _host(client: httpx.Client) -> str:
    return client.base_url.netloc.decode()
