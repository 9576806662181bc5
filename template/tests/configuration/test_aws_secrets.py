"""AWS Secrets Manager, as moto plays it in this process."""

import json
import logging
import socket
from collections.abc import Iterator

import pytest

from app.configuration.secrets.aws import read
from app.configuration.secrets.policy import AWSPolicy
from app.configuration.text_file import SourceError, SourceUnavailableError
from app.testing import CapturedLogs

FRANKFURT = AWSPolicy(region="eu-central-1")


SECRETS: dict[str, dict[str, str | bytes]] = {
    "my-service": {"SecretString": json.dumps({"OPENAI_API_KEY": "sk-canary"})},
    "no-json": {"SecretString": "sk-canary"},
    "binary": {"SecretBinary": b"sk-canary"},
}


@pytest.fixture(autouse=True)
def _fake_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def _aws() -> Iterator[None]:
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - half a second, with moto
    from moto import mock_aws  # noqa: PLC0415

    with mock_aws(config={"core": {"service_whitelist": ["secretsmanager"]}}):
        client = boto3.Session().client("secretsmanager", region_name=FRANKFURT.region)
        for name, content in SECRETS.items():
            client.create_secret(Name=name, **content)
        yield


@pytest.mark.usefixtures("_aws")
def test_the_secret_is_read_and_not_written_into_the_log(logs: CapturedLogs) -> None:
    logging.getLogger("botocore").setLevel(logging.DEBUG)
    before = len(logs.text)
    assert read("my-service", FRANKFURT, 2) == {"OPENAI_API_KEY": "sk-canary"}
    assert "canary" not in logs.text[before:]


@pytest.mark.usefixtures("_aws")
@pytest.mark.parametrize(
    ("name", "policy", "reason"),
    [
        pytest.param("nothing", FRANKFURT, "AWS answers ResourceNotFoundException", id="not there"),
        pytest.param(
            "my-service", AWSPolicy(region="us-east-1"), "ResourceNotFound", id="other region"
        ),
        pytest.param("my-service", AWSPolicy(), "^AWS_REGION: must be set", id="no region"),
        pytest.param("no-json", FRANKFURT, "^SECRETS_NAME: ", id="no JSON"),
        pytest.param("binary", FRANKFURT, "^SECRETS_NAME: ", id="no text"),
    ],
)
def test_an_unreadable_secret_is_an_error_without_its_content(
    name: str, policy: AWSPolicy, reason: str
) -> None:
    with pytest.raises(SourceError, match=reason) as error:
        read(name, policy, 2)
    assert type(error.value) is SourceError
    assert "canary" not in str(error.value).lower()


def test_a_manager_that_does_not_listen_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{port}")
    with pytest.raises(SourceUnavailableError, match="EndpointConnectionError"):
        read("my-service", FRANKFURT, 0.2)


def test_without_credentials_it_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SourceError, match="NoCredentialsError") as error:
        read("my-service", FRANKFURT, 2)
    assert type(error.value) is SourceError
