"""A canary in every secret, in every source: no output of the configuration contains one."""

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from pydantic import SecretStr, ValidationError

from app.cli import main
from app.configuration.layer import put
from app.configuration.names import variables
from app.settings import Settings, load

SECRETS = {
    "OPENAI_API_KEY": "sk-canary",
    "ANTHROPIC_API_KEY": "sk-ant-canary",
    "REDIS_URL": "redis://user:canary@redis:6379/0",
    "DOCUMENTS_POSTGRES_URL": "postgresql://user:canary@db:5432/docs",  # feature: ask
    "VAULT_TOKEN": "hvs.canary",
    "VAULT_ROLE_ID": "canary-role",
    "VAULT_SECRET_ID": "canary-secret",
}

Place = Callable[[dict[str, str]], None]


def is_secret(path: tuple[str, ...]) -> bool:
    found: object = Settings
    for part in path:
        found = get_type_hints(found)[part]
    return SecretStr in get_args(found)


def test_every_secret_of_the_settings_has_a_canary() -> None:
    assert set(SECRETS) == {name for name, path in variables(Settings).items() if is_secret(path)}


@pytest.fixture(params=["environment", "dotenv", "mounted", "yaml"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    def environment(values: dict[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    def dotenv(values: dict[str, str]) -> None:
        (tmp_path / ".env").write_text("\n".join(f"{name}={values[name]}" for name in values))

    def mounted(values: dict[str, str]) -> None:
        (tmp_path / "mounted").mkdir()
        for name, value in values.items():
            (tmp_path / "mounted" / name).write_text(value)
        monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mounted"))

    def yaml(values: dict[str, str]) -> None:
        nested: dict[str, object] = {}
        for name, value in values.items():
            put(nested, variables(Settings)[name], value)
        (tmp_path / "config.yaml").write_text(json.dumps(nested))

    places: dict[str, Place] = {
        place.__name__: place for place in (environment, dotenv, mounted, yaml)
    }
    return places[request.param]


def test_settings_that_are_shown_keep_their_secrets(place: Place) -> None:
    place(SECRETS)
    settings = load()
    assert settings.openai.key == SECRETS["OPENAI_API_KEY"]
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "**********" in shown
    assert "canary" not in shown


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["table", "json"])
def test_the_config_command_keeps_secrets(
    arguments: list[str],
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place(SECRETS)
    monkeypatch.setattr(sys, "argv", ["app", "config", *arguments])
    main()
    shown = "".join(capsys.readouterr())
    assert shown.count("**********") == len(SECRETS)
    assert "canary" not in shown


def test_a_refusal_names_the_fault_of_a_secret_and_not_its_value(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {name: f"{value}-ключ" for name, value in SECRETS.items()}
    place(wrong | {name: "canary" for name in SECRETS if name.endswith("_URL")})
    with pytest.raises(SystemExit):
        load()
    message = capsys.readouterr().err
    assert [name for name in SECRETS if f"  {name}: " not in message] == []
    assert "canary" not in message


@pytest.mark.parametrize("name", [name for name in variables(Settings) if name != "APP_ENV"])
def test_a_secret_in_the_wrong_variable_is_not_repeated(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user pasted the key into the line above."""
    monkeypatch.setenv(name, "sk canary ключ")
    shown = []
    try:
        Settings()
    except ValidationError as error:
        shown += [str(error), repr(error), *traceback.format_exception(error)]
    try:
        load()
    except SystemExit as end:
        shown += traceback.format_exception(end)
    assert "canary" not in "".join([*shown, *capsys.readouterr()])
