"""`.env.example` is the reference: complete, true, and harmless to copy."""

import dataclasses
import re
from pathlib import Path

import pytest

from app.settings import Settings, load

EXAMPLE = (Path(__file__).parents[1] / ".env.example").read_text()
DOCUMENTED = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, flags=re.MULTILINE))
COMPOSE_ONLY = {"APP_PORT": "8000", "MOCK_PORT": "9000"}

# Each provider's policy gets these two from the settings that all providers share.
_SHARED = {"temperature", "max_tokens"}


def variables() -> set[str]:
    names = set()
    for name, field in Settings.model_fields.items():
        if dataclasses.is_dataclass(field.default):
            parts = {part.name for part in dataclasses.fields(field.default)} - _SHARED
            names |= {f"{name}_{part}".upper() for part in parts}
        else:
            names.add(name.upper())
    return names


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert set(DOCUMENTED) - set(COMPOSE_ONLY) == variables()


def test_every_value_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in DOCUMENTED.items():
        if value:
            monkeypatch.setenv(name, value)
    assert load() == Settings(_env_file=None)


def test_what_is_documented_as_empty_is_unset() -> None:
    empty = {name for name, value in DOCUMENTED.items() if not value}
    assert empty == {
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "TEMPERATURE",
        "PRICES_FILE",
        "REDIS_URL",
    }


def test_the_ports_of_compose_are_documented() -> None:
    assert COMPOSE_ONLY.items() <= DOCUMENTED.items()


def test_a_copy_changes_nothing(tmp_path: Path) -> None:
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []
    (tmp_path / ".env").write_text(EXAMPLE)
    assert load() == Settings(_env_file=None)


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_variable_is_explained(name: str) -> None:
    paragraph = next(part for part in EXAMPLE.split("\n\n") if f"# {name}=" in part)
    assert len(paragraph.partition(f"# {name}=")[0]) > 40
