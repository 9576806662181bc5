"""Vault's KV version 2, against a fake of its HTTP API."""

import json
import socket
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from app.configuration.secrets.policy import VaultPolicy
from app.configuration.secrets.vault import read
from app.configuration.text_file import SourceError, SourceUnavailableError
from tests.configuration.json_server import JSONServer, json_server

SECRET = "GET /v1/secret/data/team/my-service"
LOGIN = "POST /v1/auth/approle/login"
FOUND = {"data": {"data": {"OPENAI_API_KEY": "sk-canary"}, "metadata": {"version": 3}}}
TOKEN = SecretStr("hvs.canary-token")


@pytest.fixture
def vault() -> Iterator[JSONServer]:
    with json_server() as server:
        server.answers[SECRET] = (200, FOUND)
        yield server


def ask(
    vault: JSONServer,
    *,
    token: SecretStr | None = None,
    role_id: SecretStr | None = None,
    secret_id: SecretStr | None = None,
) -> object:
    policy = VaultPolicy(addr=vault.url, token=token, role_id=role_id, secret_id=secret_id)
    return read("secret/team/my-service", policy, 2)


def test_the_secret_is_read_with_a_token(vault: JSONServer) -> None:
    assert ask(vault, token=TOKEN) == {"OPENAI_API_KEY": "sk-canary"}
    assert vault.asked[0].headers["X-Vault-Token"] == TOKEN.get_secret_value()


def test_an_approle_is_logged_in_for_a_token(vault: JSONServer) -> None:
    vault.answers[LOGIN] = (200, {"auth": {"client_token": "hvs.handed-out"}})
    found = ask(vault, role_id=SecretStr("a-role"), secret_id=SecretStr("canary-id"))
    assert found == {"OPENAI_API_KEY": "sk-canary"}
    login, reading = vault.asked
    assert json.loads(login.body) == {"role_id": "a-role", "secret_id": "canary-id"}
    assert reading.headers["X-Vault-Token"] == "hvs.handed-out"


def test_a_namespace_is_sent_along(vault: JSONServer) -> None:
    policy = VaultPolicy(addr=f"{vault.url}/", namespace="team", token=TOKEN)
    read("secret/team/my-service", policy, 2)
    assert vault.asked[0].headers["X-Vault-Namespace"] == "team"


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        pytest.param(403, {"errors": ["hvs.canary-token is denied"]}, SourceError, id="denied"),
        pytest.param(404, {"errors": []}, SourceError, id="not there"),
        pytest.param(200, b"<html>hvs.canary-token", SourceError, id="something else answers"),
        pytest.param(503, {"errors": ["Vault is sealed"]}, SourceUnavailableError, id="sealed"),
        pytest.param(429, {"errors": []}, SourceUnavailableError, id="overloaded"),
    ],
)
def test_a_refusal_differs_from_an_outage_and_repeats_no_secret(
    status: int, answer: object, kind: type[SourceError], vault: JSONServer
) -> None:
    vault.answers[SECRET] = (status, answer)
    with pytest.raises(SourceError) as error:
        ask(vault, token=TOKEN)
    assert type(error.value) is kind
    assert "canary" not in str(error.value)


def test_a_login_that_is_refused_is_not_an_outage(vault: JSONServer) -> None:
    vault.answers[LOGIN] = (400, {"errors": ["invalid secret id canary-id"]})
    with pytest.raises(SourceError, match="POST /v1/auth/approle/login") as error:
        ask(vault, role_id=SecretStr("a-role"), secret_id=SecretStr("canary-id"))
    assert "canary" not in str(error.value)


def test_a_manager_that_does_not_listen_is_an_outage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(SourceUnavailableError, match="does not answer"):
        read("secret/x", VaultPolicy(addr=addr, token=TOKEN), 2)


def test_silence_is_an_outage_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        addr = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceUnavailableError, match="ReadTimeout"):
            read("secret/x", VaultPolicy(addr=addr, token=TOKEN), 0.05)


@pytest.mark.parametrize(
    ("name", "policy", "variable"),
    [
        pytest.param("secret/x", VaultPolicy(token=TOKEN), "VAULT_ADDR", id="no address"),
        pytest.param(
            "secret/x", VaultPolicy(addr="http://127.0.0.1:1"), "VAULT_TOKEN", id="no login"
        ),
        pytest.param(
            "secret/x",
            VaultPolicy(addr="http://127.0.0.1:1", role_id=TOKEN),
            "VAULT_TOKEN",
            id="half a role",
        ),
        pytest.param(
            "secret",
            VaultPolicy(addr="http://127.0.0.1:1", token=TOKEN),
            "SECRETS_NAME",
            id="no path",
        ),
    ],
)
def test_missing_settings_are_named_before_vault_is_called(
    name: str, policy: VaultPolicy, variable: str
) -> None:
    with pytest.raises(SourceError, match=f"^{variable}: ") as error:
        read(name, policy, 2)
    assert type(error.value) is SourceError
