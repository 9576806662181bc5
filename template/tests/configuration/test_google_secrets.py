"""Google Secret Manager, against a fake of its HTTP API and of the token service."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.configuration.secrets.google import read
from app.configuration.secrets.policy import GooglePolicy
from app.configuration.text_file import SourceError, SourceUnavailableError
from tests.configuration.json_server import JSONServer, json_server

SECRET = "GET /v1/projects/a-project/secrets/my-service/versions/latest:access"


def payload(text: bytes) -> dict[str, object]:
    return {"name": "…/versions/7", "payload": {"data": base64.b64encode(text).decode()}}


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def google(
    private_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[JSONServer]:
    """The API, and a file with a service account that gets its tokens there too."""
    with json_server() as server:
        server.answers["POST /token"] = (200, {"access_token": "ya29.canary", "expires_in": 60})
        server.answers[SECRET] = (200, payload(b'{"OPENAI_API_KEY": "sk-canary"}'))
        account = {
            "type": "service_account",
            "project_id": "a-project",
            "client_email": "service@a-project.iam.gserviceaccount.com",
            "private_key": private_key,
            "token_uri": f"{server.url}/token",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        yield server


def ask(google: JSONServer, policy: GooglePolicy = GooglePolicy()) -> object:  # noqa: B008
    return read("my-service", policy, 2, endpoint=google.url)


def test_the_secret_is_read_as_the_service_account(google: JSONServer) -> None:
    assert ask(google) == {"OPENAI_API_KEY": "sk-canary"}
    assert google.asked[-1].headers["Authorization"] == "Bearer ya29.canary"


def test_the_secret_of_another_project_can_be_read(google: JSONServer) -> None:
    google.answers[SECRET.replace("a-project", "shared")] = (200, payload(b'{"PORT": "1"}'))
    assert ask(google, GooglePolicy(cloud_project="shared")) == {"PORT": "1"}


@pytest.mark.parametrize(
    ("where", "status", "answer", "kind"),
    [
        pytest.param(SECRET, 403, {"error": "ya29.canary"}, SourceError, id="denied"),
        pytest.param(SECRET, 503, {}, SourceUnavailableError, id="overloaded"),
        pytest.param(SECRET, 200, payload(b"sk-canary"), SourceError, id="no JSON"),
        pytest.param(SECRET, 200, payload(b"\xff"), SourceError, id="no text"),
        pytest.param(SECRET, 200, {}, SourceError, id="no payload"),
        pytest.param("POST /token", 401, {"error": "canary"}, SourceError, id="no token"),
    ],
)
def test_a_refusal_differs_from_an_outage_and_repeats_no_secret(
    where: str, status: int, answer: object, kind: type[SourceError], google: JSONServer
) -> None:
    google.answers[where] = (status, answer)
    with pytest.raises(SourceError) as error:
        ask(google)
    assert type(error.value) is kind
    assert "canary" not in str(error.value)


def test_a_file_of_credentials_that_is_not_there_is_no_outage(
    google: JSONServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "nowhere.json")
    with pytest.raises(SourceError, match="no credentials for Google") as error:
        ask(google)
    assert type(error.value) is SourceError
