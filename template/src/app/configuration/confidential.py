"""Collects all secret values, from the settings and from environment variables of libraries.

The settings are searched recursively, so a new `SecretStr` field is found without a change here.
"""

import dataclasses
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import BaseModel, SecretBytes, SecretStr

from app.telemetry.redaction import KNOWN

# Variables that boto3, the HTTP client and OpenTelemetry's exporter read by themselves.
_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "VAULT_TOKEN")
_ADDRESSES = re.compile(
    r"(?:HTTPS?|ALL)_PROXY|OTEL_EXPORTER_OTLP_(?:[A-Z]+_)?ENDPOINT", re.IGNORECASE
)
# `authorization=Bearer%20x,api-key=y`
_HEADERS = re.compile(r"OTEL_EXPORTER_OTLP_(?:[A-Z]+_)?HEADERS")
_SCHEME_OF_A_KEY = re.compile(r"(?:Bearer|Basic)\s+", re.IGNORECASE)
# A shorter user name without a password is a name such as `default`, and not a token.
_MIN_TOKEN_CHARS = 16
_SECRET_PARAMETER = re.compile(r"key|token|secret|passw|pwd|sig|auth", re.IGNORECASE)


def mask_secrets(settings: object) -> None:
    """Mask the secrets in the logs and answers of this process until it ends."""
    KNOWN.add(confidential(settings, os.environ))


@asynccontextmanager
async def secrets_masked(settings: object) -> AsyncIterator[None]:
    """Mask the secrets while a service with these settings is running."""
    with KNOWN.holding(confidential(settings, os.environ)):
        yield


def confidential(settings: object, environment: Mapping[str, str]) -> frozenset[str]:
    """The values to mask. For an address with credentials: the whole address, and its parts."""
    found = {*_in_settings(settings), *_in_environment(environment)}
    return frozenset(value.strip() for value in found if value.strip())


def _in_settings(value: object) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
            yield from _in_address(value.get_secret_value())
        case SecretBytes():
            yield value.get_secret_value().decode("utf-8", "replace")
        case str():
            yield from _in_address(value)
        case _:
            for part in _parts(value):
                yield from _in_settings(part)


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, BaseModel):
        yield from (part for _, part in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name) for field in dataclasses.fields(value))
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value


def _in_environment(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if name in _VARIABLES:
            yield value
        elif _ADDRESSES.fullmatch(name):
            yield from _in_address(value)
        elif _HEADERS.fullmatch(name):
            yield from map(_key_in, value.split(","))


def _key_in(header: str) -> str:
    return _SCHEME_OF_A_KEY.sub("", unquote(header.partition("=")[2]).strip(), count=1)


def _in_address(text: str) -> Iterator[str]:
    """The password of a URL (or the user name, if that is the token), and keys in its query."""
    try:
        url = urlsplit(text)
    except ValueError:
        return
    if url.netloc:
        for value in (*_credentials(url), *_secret_parameters(url)):
            yield value
            yield unquote(value)


def _credentials(url: SplitResult) -> Iterator[str]:
    userinfo, at, _host = url.netloc.rpartition("@")
    if at:
        user, _colon, password = userinfo.partition(":")
        yield userinfo if password or len(user) >= _MIN_TOKEN_CHARS else ""
        yield password


def _secret_parameters(url: SplitResult) -> Iterator[str]:
    for name, value in parse_qsl(url.query):
        if _SECRET_PARAMETER.search(name):
            yield value
