"""`PROVIDERS__<NAME>__…` in production, and the presets."""

import pytest

from app.llm.providers.presets import PRESETS
from app.settings import load
from tests.configuration.provider_variables import KEY, MISTRAL, given, refused


class TestInProd:
    @pytest.fixture(autouse=True)
    def _prod(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APP_ENV", "prod")
        monkeypatch.setenv("CLIENT_AUTH", "off")

    def test_a_preset_with_a_key_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given(monkeypatch, {**MISTRAL, "LLM_PROVIDERS": "mistral"})
        assert load().provider("mistral").key == KEY

    @pytest.mark.parametrize("name", ["ollama", "vllm"])
    def test_a_server_without_keys_needs_none_wherever_it_is(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upper = name.upper()
        given(
            monkeypatch,
            {
                "LLM_PROVIDERS": name,
                f"PROVIDERS__{upper}__BASE_URL": "http://127.0.0.1:11434/v1",
                f"PROVIDERS__{upper}__MODEL": "m",
            },
        )
        assert load().provider(name).key_headers == {}

    @pytest.mark.parametrize(
        ("variables", "lines"),
        [
            ({}, ["LLM_PROVIDERS: mistral needs PROVIDERS__MISTRAL__API_KEY"]),
            (
                {"PROVIDERS__MISTRAL__MODEL": "m"},
                ["PROVIDERS__MISTRAL__API_KEY: must be set in prod, or leave mistral out"],
            ),
            (
                {"PROVIDERS__MISTRAL__BASE_URL": "http://127.0.0.1:9000/v1"},
                [
                    "PROVIDERS__MISTRAL__API_KEY: must be set in prod",
                    "PROVIDERS__MISTRAL__BASE_URL: is the mock API; set it to https://api.mistral.ai/v1",
                ],
            ),
            (
                {
                    "PROVIDERS__MISTRAL__BASE_URL": "http://mock-api:9000/v1",
                    "PROVIDERS__MISTRAL__API_KEY": KEY,
                },
                ["PROVIDERS__MISTRAL__BASE_URL: is the mock API"],
            ),
        ],
        ids=["nothing", "no key", "no key and the mock", "the mock of compose"],
    )
    def test_prod_refuses_settings_for_development(
        self,
        variables: dict[str, str],
        lines: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        given(monkeypatch, {"LLM_PROVIDERS": "mistral", **variables})
        found = refused(capsys)
        assert len(found) == len(lines)
        for have, want in zip(found, lines, strict=True):
            assert have.startswith(want)

    def test_the_built_in_provider_may_be_told_to_need_no_key(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given(
            monkeypatch,
            {
                "LLM_PROVIDERS": "openai",
                "OPENAI_BASE_URL": "http://gateway:4000/v1",
                "PROVIDERS__OPENAI__KEY_REQUIRED": "false",
            },
        )
        assert load().provider("openai").key_headers == {}


@pytest.mark.parametrize("name", sorted(PRESETS.keys() - {"openai", "anthropic"}))
def test_every_preset_works_once_its_missing_fields_are_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = {"BASE_URL": "https://x.test/v1", "MODEL": "m", "API_KEY": KEY}
    given(
        monkeypatch,
        {"LLM_PROVIDERS": name, "APP_ENV": "prod", "CLIENT_AUTH": "off"}
        | {f"PROVIDERS__{name.upper()}__{field}": value for field, value in lacks.items()},
    )
    assert load().provider(name).facts == PRESETS[name].facts
