"""`python -m app config`, as an operator uses it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from app.configuration.names import variables
from app.configuration.refusal import EX_CONFIG
from app.settings import Settings

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["app", "config", *arguments])
        main()
        return capsys.readouterr().out

    return run


def test_every_setting_is_shown_with_the_place_where_it_was_decided(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("retry: {max_attempts: 4}\nport: 1")
    (tmp_path / ".env").write_text("PORT=2\nMAX_TOKENS=5")
    (tmp_path / ".env.dev").write_text("MAX_TOKENS=6")
    monkeypatch.setenv("LLM_PROVIDERS", "openai")
    table = {line.split()[0]: line.split(maxsplit=2)[1:] for line in run().splitlines()}
    assert table.keys() - {"VARIABLE"} == variables(Settings).keys()
    assert table["RETRY_MAX_ATTEMPTS"] == ["4", "config.yaml: retry.max_attempts"]
    assert table["PORT"] == ["2", ".env"]
    assert table["MAX_TOKENS"] == ["6", ".env.dev"]
    assert table["LLM_PROVIDERS"] == ["openai", "environment"]
    assert table["HOST"] == ["127.0.0.1", "default"]
    assert table["TEMPERATURE"] == ["-", "default"]


def test_a_program_reads_the_same_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY__MAX_ATTEMPTS", "4")
    shown = json.loads(run("--json"))
    assert shown.keys() == variables(Settings).keys()
    assert shown["RETRY_MAX_ATTEMPTS"] == {"value": 4, "from": "environment"}
    assert shown["LLM_PROVIDERS"]["value"] == ["openai", "anthropic"]
    assert shown["REDIS_URL"] == {"value": None, "from": "default"}


@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["table", "json"])
def test_secrets_are_masked(
    arguments: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("REDIS_URL", "redis://:canary@redis")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:canary@gateway/v1")
    shown = run(*arguments)
    assert "canary" not in shown
    assert "https://***@gateway/v1" in shown
    assert shown.count("**********") == 2


def test_a_check_of_a_valid_configuration_succeeds(run: Run) -> None:
    assert run("--check") == "The configuration is valid for dev.\n"


@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["shown", "checked"])
def test_a_configuration_that_is_wrong_is_refused_as_by_a_start(
    arguments: tuple[str, ...],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert end.value.code == EX_CONFIG
    assert "PORT: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("RETRY_MAX_ATEMPTS", "RETRY_MAX_ATTEMPTS"),
        ("REDIS_URI", "REDIS_URL"),
        ("MAX_TOKEN", "MAX_TOKENS"),
    ],
)
def test_a_mistyped_variable_is_noticed(
    name: str, guess: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["app", "config", "--check"])
    monkeypatch.setenv(name, "5")
    main()
    assert f"{name} is not a setting; did you mean {guess}?\n" in capsys.readouterr().err


def test_a_mistyped_variable_is_noticed_in_the_file_of_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["app", "config", "--check"])
    (tmp_path / ".env").write_text("APP_ENV=staging\nCLIENT_AUTH=off")
    (tmp_path / ".env.staging").write_text("MAX_TOKEN=5")
    main()
    assert "MAX_TOKEN is not a setting" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["OPENAI_ORG_ID", "AWS_DEFAULT_REGION", "HOSTNAME", "VAULT_CACERT", "LOG_DIR", "APP_PORT"],
)
def test_a_variable_of_another_program_is_not_reported_as_a_typo(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["app", "config", "--check"])
    monkeypatch.setenv(name, "5")
    main()
    assert name not in capsys.readouterr().err
