"""The settings of the secrets managers. The variables have the names of the managers' own tools."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le
from pydantic import AfterValidator, BeforeValidator, SecretStr, StringConstraints

from app.configuration import rules
from app.llm.providers.policy import sendable

Manager = Literal["aws", "gcp", "vault"]


def _text(pattern: str, longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, max_length=longest, pattern=pattern)


_Secret = Annotated[SecretStr, AfterValidator(sendable)]


@dataclass(frozen=True, slots=True)
class SecretsPolicy:
    """The secret (a JSON object with variables as keys), and the directory of mounted files."""

    manager: Annotated[Manager, BeforeValidator(rules.lower)] | None = None
    name: Annotated[str, _text(r"^[A-Za-z0-9_.:/+=@-]+$", 512)] | None = None
    dir: Annotated[str, _text(r"^/", 4096)] | None = None
    timeout_s: Annotated[float, Gt(0), Le(60)] = 5.0


@dataclass(frozen=True, slots=True)
class AWSPolicy:
    """The region of the secret. boto3 finds the credentials: a role, a profile, variables."""

    region: Annotated[str, _text(r"^[a-z0-9-]+$", 64)] | None = None


@dataclass(frozen=True, slots=True)
class GooglePolicy:
    """The project of the secret. google-auth finds the credentials: a machine's, user's, file's."""

    cloud_project: Annotated[str, _text(r"^[a-z0-9.:-]+$", 128)] | None = None


@dataclass(frozen=True, slots=True)
class VaultPolicy:
    """Credentials for Vault: a token, or an AppRole (a configured role id and a secret id)."""

    addr: Annotated[str, _text(r"^https?://[^\s/?#@]+/*$", 512)] | None = None
    namespace: Annotated[str, _text(r"^[A-Za-z0-9_./-]+$", 128)] | None = None
    token: _Secret | None = None
    role_id: _Secret | None = None
    secret_id: _Secret | None = None
