"""Variables of providers, and the refusals that they lead to."""

import pytest

from app.configuration.refusal import EX_CONFIG
from app.settings import load

KEY = "mk-canary-0123456789"
MISTRAL = {"LLM_PROVIDERS": "openai,mistral", "PROVIDERS__MISTRAL__API_KEY": KEY}

ACME = {
    "LLM_PROVIDERS": "acme",
    "PROVIDERS__ACME__API": "openai",
    "PROVIDERS__ACME__BASE_URL": "https://llm.acme.test/v1",
    "PROVIDERS__ACME__MODEL": "m",
}


def given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def refused(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    return [line.strip() for line in capsys.readouterr().err.splitlines() if line[:2] == "  "]
