"""The secrets manager as a source of settings: when it is called, and its outages."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.configuration.refusal import EX_CONFIG
from app.configuration.secrets.store import fetched
from app.settings import load
from app.testing import CapturedLogs
from tests.configuration.json_server import JSONServer, json_server
from tests.configuration.untouched import untouched

SECRET = "GET /v1/secret/data/my-service"


def holding(**variables: object) -> tuple[int, object]:
    return 200, {"data": {"data": variables}}


@pytest.fixture(autouse=True)
def _another_process() -> None:
    fetched.cache_clear()


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[JSONServer]:
    with json_server() as server:
        monkeypatch.setenv("SECRETS_MANAGER", "vault")
        monkeypatch.setenv("SECRETS_NAME", "secret/my-service")
        monkeypatch.setenv("VAULT_ADDR", server.url)
        monkeypatch.setenv("VAULT_TOKEN", "hvs.canary")
        yield server


@pytest.fixture
def _stopped(vault: JSONServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vault.url  # configured, and then stopped
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{taken.getsockname()[1]}")


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    return capsys.readouterr().err


def test_the_secret_holds_variables_of_any_kind_and_others(vault: JSONServer) -> None:
    vault.answers[SECRET] = holding(
        OPENAI_API_KEY="sk-canary", RETRY_MAX_ATTEMPTS=5, SOMEBODY_ELSES="x", NESTED={"a": 1}
    )
    settings = load()
    assert settings.openai.key == "sk-canary"
    assert settings.retry.max_attempts == 5


def test_the_manager_ranks_between_dotenv_and_yaml(vault: JSONServer, tmp_path: Path) -> None:
    vault.answers[SECRET] = holding(MAX_TOKENS=2, PORT=2)
    (tmp_path / ".env").write_text("PORT=1")
    (tmp_path / "config.yaml").write_text("max_tokens: 3")
    settings = load()
    assert (settings.port, settings.max_tokens) == (1, 2)


def test_the_manager_may_be_named_in_the_yaml_file(
    vault: JSONServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.answers[SECRET] = holding(PORT=2)
    monkeypatch.delenv("SECRETS_MANAGER")
    (tmp_path / "config.yaml").write_text("secrets: {manager: vault}")
    assert load().port == 2


def test_a_process_asks_once(vault: JSONServer) -> None:
    vault.answers[SECRET] = holding(PORT=2)
    assert load() == load()
    assert len(vault.asked) == 1


def test_an_invalid_value_is_reported_with_the_name_of_its_secret(
    vault: JSONServer, capsys: pytest.CaptureFixture[str]
) -> None:
    vault.answers[SECRET] = holding(PORT="canary")
    message = refused(capsys)
    assert "PORT: " in message
    assert "(vault: secret/my-service)" in message
    assert "canary" not in message


@pytest.mark.parametrize("answer", [(200, {"data": {"data": ["canary"]}}), (200, {})])
def test_a_secret_that_is_no_object_is_refused(
    answer: tuple[int, object], vault: JSONServer, capsys: pytest.CaptureFixture[str]
) -> None:
    vault.answers[SECRET] = answer
    message = refused(capsys)
    assert "SECRETS_NAME: the secret must be a JSON object" in message
    assert "canary" not in message


@pytest.mark.usefixtures("vault")
def test_a_manager_without_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SECRETS_NAME")
    assert "SECRETS_NAME: must name a secret" in refused(capsys)


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize("app_env", ["staging", "prod"])
def test_prod_and_staging_do_not_start_without_the_secrets_manager(
    app_env: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APP_ENV", app_env)
    message = refused(capsys)
    assert "SECRETS_MANAGER: 127.0.0.1:" in message
    assert "Traceback" not in message


@pytest.mark.usefixtures("_stopped")
def test_dev_starts_without_network_and_warns_once(logs: CapturedLogs) -> None:
    assert load().openai == load().openai == untouched().openai
    warnings = [line for line in logs.lines if line["level"] == "warning"]
    assert len(warnings) == 1
    assert "the start continues without it" in str(warnings[0]["event"])


def test_a_refusal_of_the_manager_stops_dev_too(
    vault: JSONServer, capsys: pytest.CaptureFixture[str]
) -> None:
    vault.answers[SECRET] = (403, {})
    assert "answers 403" in refused(capsys)


def test_tests_do_not_call_a_secrets_manager(vault: JSONServer) -> None:
    untouched()
    assert vault.asked == []


@pytest.mark.parametrize(("manager", "module"), [("aws", "boto3"), ("gcp", "google.auth")])
def test_a_missing_extra_is_named(
    manager: str, module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRETS_MANAGER", manager)
    monkeypatch.setenv("SECRETS_NAME", "my-service")
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    assert f"SECRETS_MANAGER: {manager} needs the extra {manager}" in refused(capsys)
