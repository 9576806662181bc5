"""Reads the configured secret from the secrets manager, once per process."""

import logging
from collections.abc import Callable, Mapping
from functools import cache

from pydantic import BaseModel, ValidationError

from app.configuration.secrets import aws, google, vault
from app.configuration.secrets.policy import (
    AWSPolicy,
    GooglePolicy,
    Manager,
    SecretsPolicy,
    VaultPolicy,
)
from app.configuration.text_file import SourceError, SourceUnavailableError

# The standard library's logger, because settings are read before our logging is configured.
_early_log = logging.getLogger(__name__)


class Store(BaseModel, frozen=True):
    """The settings of the secrets manager: its kind, the secret's name, the credentials."""

    secrets: SecretsPolicy = SecretsPolicy()
    aws: AWSPolicy = AWSPolicy()
    google: GooglePolicy = GooglePolicy()
    vault: VaultPolicy = VaultPolicy()


_READERS: dict[Manager, Callable[[Store, str], object]] = {
    "aws": lambda store, name: aws.read(name, store.aws, store.secrets.timeout_s),
    "gcp": lambda store, name: google.read(name, store.google, store.secrets.timeout_s),
    "vault": lambda store, name: vault.read(name, store.vault, store.secrets.timeout_s),
}


def store_of(values: Mapping[str, object]) -> Store:
    """Build the store's settings from unvalidated values; if they are invalid, return the defaults.

    The settings report invalid values later, together with all other errors.
    """
    try:
        return Store.model_validate(values)
    except ValidationError:
        return Store()


@cache
def fetched(store: Store, *, required: bool) -> Mapping[str, str]:
    """The variables in the secret; none if no manager is configured.

    Raises `SourceError`. If the manager does not answer and is not `required`, the start continues:
    a laptop without a network has no manager, and the mock API needs no secret.
    """
    manager, name = store.secrets.manager, store.secrets.name
    if manager is None:
        return {}
    if name is None:
        raise SourceError("SECRETS_NAME", f"must name a secret when SECRETS_MANAGER is {manager}")
    try:
        return _as_variables(_READERS[manager](store, name))
    except SourceUnavailableError as error:
        if required:
            raise
        _early_log.warning("%s: the start continues without it, because APP_ENV is dev", error)
        return {}


def _as_variables(secret: object) -> dict[str, str]:
    if not isinstance(secret, dict):
        raise SourceError("SECRETS_NAME", "the secret must be a JSON object: names and values")
    scalars = {
        name: value for name, value in secret.items() if isinstance(value, str | int | float)
    }
    return {str(name): str(value) for name, value in scalars.items()}
