"""`PROVIDERS__<NAME>__…`: a provider from settings alone, from every place."""

import json
import re
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.configuration.providers import FACTS, FIELDS
from app.llm.providers.policy import Facts
from app.llm.providers.presets import PRESETS
from app.settings import load
from tests.configuration.provider_variables import ACME, KEY, MISTRAL, given


def test_a_provider_needs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        {
            "LLM_PROVIDERS": "acme",
            "PROVIDERS__ACME__API": "OpenAI",
            "PROVIDERS__ACME__BASE_URL": " https://llm.acme.test/v1/ ",
            "PROVIDERS__ACME__API_KEY": KEY,
            "PROVIDERS__ACME__MODEL": "acme-1",
            "PROVIDERS__ACME__EMBEDDING_MODEL": "acme-embed",
            "PROVIDERS__ACME__MAX_TOKENS_FIELD": "Max_Tokens",
            "PROVIDERS__ACME__STREAM_OPTIONS": "false",
            "MAX_TOKENS": "77",
        },
    )
    policy = load().provider("acme")
    assert (policy.name, policy.api, policy.vendor) == ("acme", "openai", "acme")
    assert (policy.base_url, policy.model) == ("https://llm.acme.test/v1", "acme-1")
    assert (policy.embedding_model, policy.key, policy.max_tokens) == ("acme-embed", KEY, 77)
    assert policy.facts == Facts(max_tokens_field="max_tokens", stream_options=False)


def test_the_name_of_a_preset_brings_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, MISTRAL)
    policy, preset = load().provider("mistral"), PRESETS["mistral"]
    assert (policy.base_url, policy.model, policy.facts) == (
        preset.base_url,
        preset.model,
        preset.facts,
    )
    assert policy.vendor == "mistral"


def test_a_preset_with_a_model_needs_no_setting_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", "mistral")
    assert load().provider("mistral").base_url == PRESETS["mistral"].base_url


def test_a_preset_serves_a_provider_of_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        {
            "LLM_PROVIDERS": "paris",
            "PROVIDERS__PARIS__PRESET": "mistral",
            "PROVIDERS__PARIS__MAX_TEMPERATURE": "0.7",
        },
    )
    policy = load().provider("paris")
    assert (policy.name, policy.vendor, policy.facts.max_temperature) == ("paris", "mistral", 0.7)
    assert policy.facts.max_tokens_field == "max_tokens"


@pytest.mark.parametrize("named", ["my-vllm", "my_vllm", "MY-VLLM"])
@pytest.mark.parametrize("variable", ["PROVIDERS__MY_VLLM__", "providers__my_vllm__"])
def test_a_hyphen_is_an_underscore_in_a_variable(
    named: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(
        monkeypatch,
        {
            "LLM_PROVIDERS": named,
            f"{variable}preset": "vllm",
            f"{variable}base_url": "http://gpu:8000/v1",
            f"{variable}model": "m",
        },
    )
    settings = load()
    assert settings.llm_providers == ("my-vllm",)
    assert settings.provider("my-vllm").base_url == "http://gpu:8000/v1"


def test_another_language_brings_its_own_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    given(
        monkeypatch,
        {
            "LLM_PROVIDERS": "proxy",
            "PROVIDERS__PROXY__API": "anthropic",
            "PROVIDERS__PROXY__BASE_URL": "https://proxy.test/v1/messages",
            "PROVIDERS__PROXY__MODEL": "m",
        },
    )
    policy = load().provider("proxy")
    assert policy.base_url == "https://proxy.test"
    assert (policy.facts.key_header, policy.facts.max_temperature) == ("x-api-key", 1.0)


@pytest.mark.parametrize(
    ("pasted", "base_url"),
    [
        (
            "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
            "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
        ),
        (
            "https://x.openai.azure.com/openai/deployments/d/?api-version=2024-10-21",
            "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
        ),
        ("https://x.openai.azure.com/openai/v1/", "https://x.openai.azure.com/openai/v1"),
    ],
    ids=["the portal's target", "a slash before the query", "the new address"],
)
@pytest.mark.parametrize("variable", ["PROVIDERS__AZURE__", "OPENAI_"])
def test_an_address_is_taken_as_it_is_pasted(
    variable: str, pasted: str, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "azure" if "AZURE" in variable else "openai"
    given(
        monkeypatch,
        {"LLM_PROVIDERS": name, f"{variable}BASE_URL": pasted, f"{variable}MODEL": "d"},
    )
    assert load().provider(name).base_url == base_url


def test_a_fact_about_a_built_in_provider_is_a_setting_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(
        monkeypatch,
        {
            "LLM_PROVIDERS": "openai,openai-sdk",
            "OPENAI_BASE_URL": "http://gateway.test/v1",
            "PROVIDERS__OPENAI__MAX_TOKENS_FIELD": "max_tokens",
        },
    )
    settings = load()
    for name in settings.llm_providers:
        assert settings.provider(name).facts == Facts(max_tokens_field="max_tokens")
        assert settings.provider(name).base_url == "http://gateway.test/v1"


@pytest.mark.parametrize("place", [".env", "mounted", "config.yaml", "config.yaml with hyphens"])
def test_every_place_of_settings_holds_providers(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", "my-llm")
    values = {"preset": "mistral", "api_key": KEY}
    if place == ".env":
        lines = [f"PROVIDERS__MY_LLM__{field.upper()}={values[field]}" for field in values]
        (tmp_path / ".env").write_text("\n".join(lines))
    elif place == "mounted":
        (tmp_path / "mounted").mkdir()
        for field, value in values.items():
            (tmp_path / "mounted" / f"PROVIDERS__MY_LLM__{field.upper()}").write_text(value + "\n")
        monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mounted"))
    else:
        name = "my-llm" if "hyphens" in place else "my_llm"
        (tmp_path / "config.yaml").write_text(json.dumps({"providers": {name: values}}))
    policy = load().provider("my-llm")
    assert (policy.key, policy.vendor) == (KEY, "mistral")


def test_places_complete_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("providers: {mistral: {model: far, max_temperature: 1}}")
    given(monkeypatch, {**MISTRAL, "PROVIDERS__MISTRAL__MODEL": "near"})
    policy = load().provider("mistral")
    assert (policy.model, policy.facts.max_temperature, policy.key) == ("near", 1.0, KEY)


def test_an_empty_value_means_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {**MISTRAL, "PROVIDERS__MISTRAL__BASE_URL": ""})
    assert load().provider("mistral").base_url == PRESETS["mistral"].base_url


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, dict[str, object]]:
    monkeypatch.setattr(sys, "argv", ["app", "config", "--json"])
    main()
    found: dict[str, dict[str, object]] = json.loads(capsys.readouterr().out)
    return {name: row for name, row in found.items() if name.startswith("PROVIDERS__")}


def test_the_command_shows_each_value_and_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("providers: {mistral: {model: m}}")
    given(monkeypatch, MISTRAL)
    rows = shown(monkeypatch, capsys)
    assert set(rows) == {f"PROVIDERS__MISTRAL__{f.upper()}" for f in FIELDS if f != "preset"}
    assert rows["PROVIDERS__MISTRAL__MODEL"] == {
        "value": "m",
        "from": "config.yaml: providers.mistral.model",
    }
    assert rows["PROVIDERS__MISTRAL__API_KEY"] == {"value": "**********", "from": "environment"}
    assert rows["PROVIDERS__MISTRAL__MAX_TOKENS_FIELD"] == {
        "value": "max_tokens",
        "from": "preset mistral",
    }


def test_the_command_shows_only_the_facts_of_a_built_in_provider(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROVIDERS__ANTHROPIC__JSON_MODE", "none")
    rows = shown(monkeypatch, capsys)
    assert set(rows) == {
        f"PROVIDERS__ANTHROPIC__{fact.upper()}"
        for fact in (
            "json_mode",
            "tools",
            "images",
            "max_temperature",
            "key_header",
            "key_required",
            "retries",
            "deadline_header",
        )
    }


def test_every_field_is_documented_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    documented = dict(re.findall(r"^# PROVIDERS__<NAME>__(\w+)=(.*)$", example, re.MULTILINE))
    assert set(documented) == {field.upper() for field in FIELDS}
    facts = {f"PROVIDERS__ACME__{fact.upper()}": documented[fact.upper()] for fact in FACTS}
    given(monkeypatch, ACME | facts)
    assert load().provider("acme").facts == Facts()
