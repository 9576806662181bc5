"""How settings are read: names of variables, sources, equivalent spellings, values that follow from others."""

from pathlib import Path

import pytest

from app.settings import Settings, load
from tests.refused_settings import refusal
from tests.test_settings import BAD


def test_the_variables_of_a_group_are_spelled_with_one_underline_or_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETRY_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("RETRY__BASE_DELAY_S", "0.1")
    retry = load().retry
    assert (retry.max_attempts, retry.base_delay_s, retry.max_delay_s) == (5, 0.1, 8.0)


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PORT=1111\nRETRY__MAX_ATTEMPTS=7\nOPENAI_MODEL=from-file\n")
    monkeypatch.setenv("PORT", "2222")
    settings = load()
    assert (settings.port, settings.retry.max_attempts) == (2222, 7)
    assert settings.openai.model == "from-file"


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name in BAD:
        monkeypatch.setenv(name, "")
    assert load() == defaults


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        pytest.param("LOG_LEVEL", "info", "INFO", id="a level in lower case"),
        pytest.param("LLM_PROVIDERS", " Anthropic , openai,", ("anthropic", "openai"), id="a list"),
        pytest.param("APP_ENV", "STAGING", "staging", id="an environment in upper case"),
    ],
)
def test_equivalent_spellings_of_a_value_are_accepted(
    name: str, value: str, read: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLIENT_AUTH", "off")
    settings = load()
    assert read in (settings.log.level, settings.llm_providers, settings.app_env)


@pytest.mark.parametrize(
    ("given", "attempt_s", "first_chunk_s", "deadline_s"),
    [
        pytest.param({}, 60, 30, 90, id="by default"),
        pytest.param({"REQUEST_TIMEOUT_S": "300"}, 300, 30, 450, id="target"),
        pytest.param({"STREAM_CHUNK_TIMEOUT_S": "80"}, 60, 80, 120, id="with streams"),
        pytest.param({"STREAM_FIRST_CHUNK_TIMEOUT_S": "80"}, 60, 80, 120, id="with thinkers"),
        pytest.param({"RETRY_DEADLINE_S": "20"}, 18, 18, 20, id="impatient"),
        pytest.param({"RETRY_DEADLINE_S": "50"}, 45, 30, 50, id="impatient with answers only"),
        pytest.param({"RETRY_DEADLINE_S": "600"}, 60, 30, 600, id="with time for many attempts"),
    ],
)
def test_an_attempt_ends_before_the_deadline_of_all(
    given: dict[str, str],
    attempt_s: float,
    first_chunk_s: float,
    deadline_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    http, retrying = load().http, load().retrying
    assert http.request_timeout_s == attempt_s
    assert http.first_chunk_timeout_s == first_chunk_s
    assert retrying.deadline_s == deadline_s


def test_an_address_has_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", " https://llm.example/v1/ ")
    assert load().openai.base_url == "https://llm.example/v1"


def test_a_group_is_not_a_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG", "debug")
    assert refusal(capsys) == ["LOG"]


@pytest.mark.parametrize("name", ["OPENAI_ORG_ID", "LOG_DIR", "ANTHROPIC_LOG", "APP_PORT"])
def test_other_programs_variables_are_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Settings()
    monkeypatch.setenv(name, "{}")
    assert load() == defaults
