"""The secrets manager that the settings name: asked once per process, for one JSON object."""

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
from app.configuration.unreadable import Unreachable, Unreadable

# The standard library's: settings are read before the service's own log is set up.
_early_log = logging.getLogger(__name__)


class Store(BaseModel, frozen=True):
    """Which manager is asked, for what, and as whom."""

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
    """What settings that are not validated yet say about secrets; nothing, when it is wrong.

    That it is wrong is for the settings to say, together with everything else.
    """
    try:
        return Store.model_validate(values)
    except ValidationError:
        return Store()


@cache
def fetched(store: Store, *, required: bool) -> Mapping[str, str]:
    """The variables that the secret holds; none, when no manager is configured.

    Raises `Unreadable`. A manager that does not answer is survived where it is not `required`: a
    laptop on a train has none, and the mock API needs no secret.
    """
    manager, name = store.secrets.manager, store.secrets.name
    if manager is None:
        return {}
    if name is None:
        raise Unreadable("SECRETS_NAME", f"must name a secret when SECRETS_MANAGER is {manager}")
    try:
        return _as_variables(_READERS[manager](store, name))
    except Unreachable as error:
        if required:
            raise
        _early_log.warning("%s: going on without it, because this is dev", error)
        return {}


def _as_variables(secret: object) -> dict[str, str]:
    if not isinstance(secret, dict):
        raise Unreadable("SECRETS_NAME", "the secret must be a JSON object: names and values")
    scalars = {
        name: value for name, value in secret.items() if isinstance(value, str | int | float)
    }
    return {str(name): str(value) for name, value in scalars.items()}
