"""`docs/providers.md`: its table is the presets, and its blocks start a service."""

import re
from pathlib import Path

import pytest

from app.configuration.providers import FACTS, FIELDS
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.presets import PRESETS
from app.llm.providers.registry import APIS
from app.settings import load

TEXT = (Path(__file__).parents[1] / "docs/providers.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
ROWS = {
    cells[0]: cells[1:]
    for row in TEXT.partition("## Presets")[2].partition("\n## ")[0].splitlines()
    if row.startswith("| ") and (cells := [cell.strip() for cell in row.strip("|").split("|")])
}


def shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value or "-")


def row_of(preset: ProviderPolicy) -> list[str]:
    facts = [getattr(preset.facts, f) if f in APIS[preset.api].settings else "" for f in FACTS]
    addressed = [preset.base_url, preset.model, preset.embedding_model]
    return [*map(shown, addressed), *(shown(fact) if fact != "" else "" for fact in facts)]


def test_the_table_is_the_presets() -> None:
    (_, heads), *rows = ROWS.items()
    assert [head.strip("`").lower() for head in heads[3:]] == list(FACTS)
    assert dict(rows) == {name: row_of(preset) for name, preset in PRESETS.items()}


def test_every_setting_is_explained() -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE))
    assert explained == {field.upper() for field in FIELDS}


def test_every_preset_that_is_not_built_in_has_a_block() -> None:
    names = {name for block in BLOCKS for name in re.findall(r"LLM_PROVIDERS=(\S+)", block)}
    assert names == set(PRESETS) - {"openai", "anthropic"} | {"my-gateway"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split()[0].partition("=")[2])
@pytest.mark.parametrize("app_env", ["dev", "prod"])
def test_a_block_is_a_whole_configuration(
    app_env: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV", app_env)
    monkeypatch.setenv("CLIENT_AUTH", "off")
    (tmp_path / ".env").write_text(block)
    settings = load()
    (name,) = settings.llm_providers
    assert settings.provider(name).name == name
