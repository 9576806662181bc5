"""Google Secret Manager, through its HTTP API.

The client library uses gRPC and would install twenty more packages. The API:
https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

import base64
import binascii
from functools import partial

import httpx2 as httpx

from app.configuration.secrets.answer import ask, at, parsed
from app.configuration.secrets.policy import GooglePolicy
from app.configuration.text_file import SourceError, SourceUnavailableError
from app.network import ssl_context

ENDPOINT = "https://secretmanager.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def read(name: str, policy: GooglePolicy, timeout_s: float, *, endpoint: str = ENDPOINT) -> object:
    """Read the newest version of a secret. Raises `SourceError`."""
    token, own_project = _credentials(timeout_s)
    project = policy.cloud_project or own_project
    if project is None:
        raise SourceError(
            "GOOGLE_CLOUD_PROJECT", "must be set, because the credentials have no project"
        )
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        base_url=endpoint, headers=headers, timeout=timeout_s, verify=ssl_context()
    ) as client:
        path = f"/v1/projects/{project}/secrets/{name}/versions/latest:access"
        return parsed(_decoded(at(ask(client, "GET", path), "payload", "data")))


def _credentials(timeout_s: float) -> tuple[str, str | None]:
    """An access token, and the project of the credentials: a service account, a user or a file."""
    try:
        import google.auth  # noqa: PLC0415 - an optional package that most services do not install
        from google.auth.exceptions import GoogleAuthError, TransportError  # noqa: PLC0415
        from google.auth.transport.requests import Request  # noqa: PLC0415
    except ImportError:
        raise SourceError(
            "SECRETS_MANAGER", "gcp needs the extra gcp: see docs/secrets.md"
        ) from None
    try:
        credentials, project = google.auth.default(scopes=[_SCOPE])
        credentials.refresh(partial(Request(), timeout=timeout_s))  # type: ignore[no-untyped-call]  # not typed there
    except TransportError:
        raise SourceUnavailableError(
            "SECRETS_MANAGER", "Google's token service does not answer"
        ) from None
    except GoogleAuthError as error:
        raise SourceError(
            "SECRETS_MANAGER", f"no credentials for Google ({type(error).__name__})"
        ) from None
    return str(credentials.token), project


def _decoded(data: object) -> str:
    try:
        return base64.b64decode(str(data), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise SourceError("SECRETS_NAME", "the secret's content is not text") from None
