"""`.env.example` is the reference: complete, true, and harmless to copy."""

import re
from pathlib import Path

import pytest

from app.configuration.names import variables
from app.configuration.origins import rows
from app.settings import Settings, load

EXAMPLE = (Path(__file__).parents[1] / ".env.example").read_text()
DOCUMENTED = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, flags=re.MULTILINE))
COMPOSE_ONLY = {"APP_PORT": "8000", "MOCK_PORT": "9000"}


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented, settings = set(DOCUMENTED) - set(COMPOSE_ONLY), set(variables(Settings))
    assert settings - documented == set(), "add to .env.example: a comment, and `# NAME=default`"
    assert documented - settings == set(), "remove from .env.example: the setting does not exist"


def test_every_value_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name, value in DOCUMENTED.items():
        if value:
            monkeypatch.setenv(name, value)
    assert load() == defaults


def test_a_setting_documented_as_empty_has_no_default() -> None:
    shown = rows(Settings(), [])
    unset = {row.variable for row in shown if row.value is None}
    assert unset == {name for name, value in DOCUMENTED.items() if not value}


def test_the_ports_of_compose_are_documented() -> None:
    assert COMPOSE_ONLY.items() <= DOCUMENTED.items()


def test_a_copy_changes_nothing(tmp_path: Path) -> None:
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []
    defaults = Settings()
    (tmp_path / ".env").write_text(EXAMPLE)
    assert load() == defaults


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_variable_is_explained(name: str) -> None:
    paragraph = next(part for part in EXAMPLE.split("\n\n") if f"# {name}=" in part)
    assert len(paragraph.partition(f"# {name}=")[0]) > 40
