"""Values as `docker run --env-file`, mounted files and secrets managers pass them."""

from pathlib import Path

import pytest

from app.configuration.names import variables
from app.configuration.refusal import EX_CONFIG
from app.settings import Settings, load

GOOD = {
    "PORT": "8001",
    "LOG_LEVEL": "ERROR",
    "LLM_PROVIDERS": "openai",
    "OPENAI_API_KEY": "sk-canary",
    "OPENAI_BASE_URL": "https://canary.test/v1",
    "OPENAI_MODEL": "canary-model",
    "TEMPERATURE": "0.5",
    "ENABLE_CACHING": "false",
    "REDIS_URL": "redis://:canary@host",
    "APP_ENV": "dev",
    "DOCUMENTS_DIR": "/tmp",  # noqa: S108 - read, never written  # feature: ask
}


def in_settings(name: str) -> object:
    value: object = load()
    for part in variables(Settings)[name]:
        value = getattr(value, part)
    return value


def refusals(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    shown = capsys.readouterr().err
    assert "canary" not in shown
    return [line.strip() for line in shown.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}", "\t{} ", "\ufeff{}", "{}\u200b"])
@pytest.mark.parametrize("name", GOOD)
def test_spaces_and_line_ends_around_a_value_are_dropped(
    name: str, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, GOOD[name])
    meant = in_settings(name)
    monkeypatch.setenv(name, around.format(GOOD[name]))
    assert in_settings(name) == meant


@pytest.mark.parametrize(
    ("around", "reason"),
    [
        ('"{}"', "quotes"),
        ("'{}'", "quotes"),
        ("\u201c{}\u201d", "quotes"),
        ('"{}', "quotes"),
        ('{}"', "quotes"),
        (' "{}"\n', "quotes"),
        ("{} # a comment", "comment"),
        ("{}\t#comment", "comment"),
        ("# {}", "comment"),
        ("{}\nOTHER=1", "line break"),
    ],
)
@pytest.mark.parametrize("name", GOOD)
def test_quotes_comments_and_line_breaks_are_refused_by_name_and_reason(
    name: str,
    around: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, around.format(GOOD[name]))
    [line] = refusals(capsys)
    assert line.startswith(f"{name}: ")
    assert reason in line


@pytest.mark.parametrize("name", variables(Settings))
def test_every_setting_refuses_quotes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, '"1"')
    assert [line.partition(":")[0] for line in refusals(capsys)] == [name]


def test_all_of_them_are_named_at_once_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "OPENAI_API_KEY").write_text('"sk-canary"\n')
    monkeypatch.setenv("PORT", "'8000'")
    monkeypatch.setenv("MAX_TOKENS", "many")
    port, key, tokens = refusals(capsys)
    assert port.startswith("PORT: the quotes")
    assert key.startswith("OPENAI_API_KEY: the quotes")
    assert key.endswith(f"({tmp_path})")
    assert tokens.startswith("MAX_TOKENS: ")


def test_a_hash_inside_a_value_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "model#2")
    assert load().openai.model == "model#2"
