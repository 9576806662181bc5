"""The settings that prod refuses, because they are for development."""

import pytest

from app.settings import load
from tests.client_keys import CLIENT_KEYS
from tests.refused_settings import refusal

KEY = "sk-canary-0123456789abcdef"


class TestInProd:
    @pytest.fixture(autouse=True)
    def _prod(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_ENV", "prod")
        monkeypatch.setenv("LLM_PROVIDERS", "openai")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
        monkeypatch.setenv("CLIENT_KEYS", CLIENT_KEYS)

    def test_a_real_provider_with_a_key_is_enough(self) -> None:
        assert load().app_env == "prod"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DEBUG_MODE", "true"),
            ("OPENAI_API_KEY", ""),
            ("OPENAI_API_KEY", "  "),
            ("OPENAI_BASE_URL", ""),
            ("OPENAI_BASE_URL", "http://localhost:9000/v1"),
            ("OPENAI_BASE_URL", "http://mock-api:9000/v1"),
            ("CLIENT_KEYS", ""),
        ],
    )
    def test_prod_refuses_settings_for_development(
        self,
        name: str,
        value: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv(name, value)
        assert refusal(capsys) == [name]

    @pytest.mark.parametrize("app_env", ["staging", "prod"])
    def test_a_debugger_is_for_dev(
        self, app_env: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("APP_ENV", app_env)
        monkeypatch.setenv("DEBUG_PORT", "5678")
        assert refusal(capsys) == ["DEBUG_PORT"]

    def test_a_gateway_beside_the_service_is_not_the_mock(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:4000/v1")
        assert load().openai.base_url == "http://127.0.0.1:4000/v1"

    def test_the_message_names_the_next_step(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("LLM_PROVIDERS", "anthropic")
        with pytest.raises(SystemExit):
            load()
        message = capsys.readouterr().err
        assert "https://api.anthropic.com" in message
        assert "leave anthropic out of LLM_PROVIDERS" in message
