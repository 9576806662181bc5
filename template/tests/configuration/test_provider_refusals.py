"""`PROVIDERS__<NAME>__…`: each refusal by name."""

import sys
from pathlib import Path

import pytest

from app.cli import main
from app.configuration.providers import FIELDS
from app.settings import load
from tests.configuration.provider_variables import ACME, MISTRAL, given, refused


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"API": "grpc"}, "API: must be one of openai, anthropic, openai-sdk"),
        ({"API": ""}, "API: must be set (openai, anthropic"),
        ({"PRESET": "mistrall"}, "PRESET: must be one of openai, anthropic, azure"),
        ({"BASE_URL": ""}, "BASE_URL: must be set"),
        ({"BASE_URL": "llm.acme.test"}, "BASE_URL: "),
        ({"BASE_URL": "http://:80/v1"}, "BASE_URL: must be an address like"),
        ({"MODEL": " "}, "MODEL: "),
        ({"MODEL": ""}, "MODEL: must be set"),
        ({"API_KEY": "ключ"}, "API_KEY: a key consists of printable ASCII"),
        ({"MODELS": "m"}, "MODELS: is not a setting of a provider; did you mean MODEL?"),
        (
            {"COLOUR": "red"},
            "COLOUR: is not a setting of a provider; the settings are: PRESET, API, BASE_URL",
        ),
        ({"MAX_TOKENS_FIELD": "max"}, "MAX_TOKENS_FIELD: Input should be 'max_tokens' or"),
        ({"STREAM_OPTIONS": "perhaps"}, "STREAM_OPTIONS: "),
        ({"EMBEDDING_ENCODING": "hex"}, "EMBEDDING_ENCODING: "),
        ({"JSON_MODE": "xml"}, "JSON_MODE: "),
        ({"TOOLS": "perhaps"}, "TOOLS: "),
        ({"IMAGES": "all"}, "IMAGES: "),
        ({"MAX_TEMPERATURE": "3"}, "MAX_TEMPERATURE: "),
        ({"KEY_HEADER": "cookie"}, "KEY_HEADER: "),
        ({"KEY_REQUIRED": "2"}, "KEY_REQUIRED: "),
        ({"RETRIES": "two"}, "RETRIES: "),
        ({"DEADLINE_HEADER": "x-timeout"}, "DEADLINE_HEADER: Input should be 'none', 'x-request"),
        (
            {"API": "anthropic", "MAX_TOKENS_FIELD": "max_tokens"},
            "MAX_TOKENS_FIELD: has no meaning for the API anthropic",
        ),
        (
            {"API": "anthropic", "EMBEDDING_MODEL": "e"},
            "EMBEDDING_MODEL: has no meaning for the API anthropic",
        ),
    ],
    ids=lambda value: (
        "=".join(*value.items()) if isinstance(value, dict) and len(value) == 1 else None
    ),
)
def test_a_bad_field_is_refused_by_its_name(
    changes: dict[str, str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given(monkeypatch, ACME | {f"PROVIDERS__ACME__{name}": changes[name] for name in changes})
    (found,) = refused(capsys)
    assert found.startswith(f"PROVIDERS__ACME__{line}")


def test_every_field_has_a_bad_value_above() -> None:
    (mark,) = test_a_bad_field_is_refused_by_its_name.pytestmark  # type: ignore[attr-defined]
    tried = {name for case in mark.args[1] for name in case[0]}
    assert {field.upper() for field in FIELDS} <= tried


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"LLM_PROVIDERS": "openai,acne"},
            "LLM_PROVIDERS: name 2 is not a provider; did you mean acme?",
        ),
        (
            {"LLM_PROVIDERS": "openai"},
            "LLM_PROVIDERS: add acme to it, or remove PROVIDERS__ACME__…",
        ),
        (
            {"LLM_PROVIDERS": "acme,vllm"},
            "LLM_PROVIDERS: vllm needs PROVIDERS__VLLM__BASE_URL, PROVIDERS__VLLM__MODEL",
        ),
        ({"LLM_PROVIDERS": "acme,ACME"}, "LLM_PROVIDERS: each provider may be named only once"),
        (
            {"PROVIDERS": "acme"},
            "PROVIDERS: is not a variable; did you mean PROVIDERS__<NAME>__…?",
        ),
        (
            {"PROVIDERS__7UP__MODEL": "m"},
            "PROVIDERS__7UP__MODEL: the name of a provider must begin with a letter",
        ),
        ({"PROVIDERS__A__B__MODEL": "m"}, "PROVIDERS__A__B__MODEL: the name of a provider"),
        ({"PROVIDERS__MODEL": "m"}, "PROVIDERS____MODEL: the name of a provider"),
        (
            {"PROVIDERS__OPENAI__BASE_URL": "http://x/v1"},
            "PROVIDERS__OPENAI__BASE_URL: is OPENAI_BASE_URL for the built-in",
        ),
        ({"PROVIDERS__OPENAI__PRESET": "mistral"}, "PROVIDERS__OPENAI__PRESET: openai is built in"),
        (
            {"PROVIDERS__OPENAI_SDK__MODEL": "m"},
            "PROVIDERS__OPENAI_SDK__MODEL: openai-sdk has the settings of openai",
        ),
        (
            {"PROVIDERS__ANTHROPIC__STREAM_OPTIONS": "true"},
            "PROVIDERS__ANTHROPIC__STREAM_OPTIONS: has no meaning for",
        ),
        (
            {"PROVIDERS__OPENAI__JSONMODE": "none"},
            "PROVIDERS__OPENAI__JSONMODE: is not a setting of a provider; did you mean JSON_MODE?",
        ),
    ],
    ids=lambda value: "=".join(*value.items()) if isinstance(value, dict) else None,
)
def test_fields_that_contradict_each_other_are_refused(
    changes: dict[str, str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given(monkeypatch, ACME | changes)
    (found,) = refused(capsys)
    assert found.startswith(line)


def test_a_key_in_the_wrong_variable_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for field in ("LLM_PROVIDERS", *(f"PROVIDERS__ACME__{field.upper()}" for field in FIELDS)):
        with monkeypatch.context() as patch:
            given(patch, {**ACME, field: "sk-canary-1"})
            try:
                load()
            except SystemExit:
                assert "canary" not in capsys.readouterr().err


def test_a_file_with_a_bad_field_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", "mistral")
    (tmp_path / "config.yaml").write_text("providers: {mistral: {json_mode: xml}}")
    (found,) = refused(capsys)
    assert found.startswith("PROVIDERS__MISTRAL__JSON_MODE: ")
    assert found.endswith("(config.yaml: providers.mistral.json_mode)")


@pytest.mark.parametrize("yaml", ["providers: 7", "providers: {mistral: 7}"])
def test_a_provider_in_a_file_has_fields(
    yaml: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(yaml)
    (found,) = refused(capsys)
    assert found.startswith(yaml.partition(":")[0].upper())


@pytest.mark.parametrize(
    ("name", "meant"),
    [("PROVIDERS_MISTRAL_MODEL", "PROVIDERS__<NAME>__…")],
)
def test_a_single_underscore_is_noticed(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["app", "config", "--check"])
    monkeypatch.setenv(name, "m")
    main()
    assert f"{name} is not a setting; did you mean {meant}?" in capsys.readouterr().err


def test_a_temperature_that_a_provider_refuses_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, {**MISTRAL, "TEMPERATURE": "1.6"})
    (found,) = refused(capsys)
    assert found.startswith("TEMPERATURE: must be at most 1.5 for mistral")
