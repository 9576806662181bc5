"""`openai-sdk` and `anthropic-sdk` in `LLM_PROVIDERS`: their settings and their package."""

import sys
from dataclasses import replace

import pytest

from app.configuration.refusal import EX_CONFIG
from app.settings import Settings, load

both = pytest.mark.parametrize("vendor", ["openai", "anthropic"])


@both
def test_an_sdk_has_its_vendors_settings(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", f"{vendor}-sdk")
    monkeypatch.setenv(f"{vendor.upper()}_MODEL", "a-model")
    settings = load()
    (name,) = settings.llm_providers
    assert name == f"{vendor}-sdk"
    assert settings.provider(name).model == "a-model"


@both
def test_an_sdk_provider_without_its_package_is_refused_with_the_remedy(
    vendor: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, vendor, None)  # as if it were not installed
    monkeypatch.setenv("LLM_PROVIDERS", f"{vendor},{vendor}-sdk")
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert line.startswith(f"  LLM_PROVIDERS: {vendor}-sdk needs the package {vendor}")
    assert "make lock EXTRAS=sdk" in line


def test_without_an_sdk_provider_no_package_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.setenv("LLM_PROVIDERS", "openai,anthropic-sdk")
    assert load().llm_providers == ("openai", "anthropic-sdk")


@both
def test_prod_asks_for_the_key_of_the_vendor(
    vendor: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APP_ENV", "prod")
    monkeypatch.setenv("LLM_PROVIDERS", f"{vendor}-sdk")
    with pytest.raises(SystemExit):
        load()
    message = capsys.readouterr().err
    assert f"{vendor.upper()}_API_KEY: must be set in prod" in message
    assert f"{vendor.upper()}_BASE_URL: is the mock API" in message


def test_both_ways_to_one_vendor_may_be_chosen() -> None:
    both_ways = Settings(llm_providers=("openai-sdk", "openai"))
    own = replace(both_ways.provider("openai"), name="openai-sdk", api="openai-sdk")
    assert both_ways.provider("openai-sdk") == own
