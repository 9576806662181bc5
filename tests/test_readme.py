"""The README shows the real output."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.engines import REPOSITORY, run, tool

README = (REPOSITORY / "README.md").read_text()


def test_the_readme_shows_what_make_dev_prints() -> None:
    where = REPOSITORY / "template/scripts/where.sh"
    printed = run("sh", str(where), "127.0.0.1:8000", "127.0.0.1:9000")
    assert [line for line in printed.splitlines() if line not in README] == []


def test_the_readme_shows_what_make_new_says(lean_template: Path, tmp_path: Path) -> None:
    printed = run(
        tool("copier"), "copy", "--defaults", str(lean_template), "../my-service", cwd=tmp_path
    )
    said = printed[printed.index("AI Service is ready") :]
    assert [line for line in said.splitlines() if line not in README] == []


def test_the_readme_has_every_question_with_its_default() -> None:
    config = yaml.safe_load((REPOSITORY / "copier.yml").read_text())
    for name, question in config.items():
        if not name.startswith("_") and name != "project_slug":
            assert f"| `{name}` | {question['default']} |" in README


def test_the_cost_in_the_readme_is_that_of_the_price_list() -> None:
    answer = json.loads(README[README.index('{"id":"chatcmpl') :].partition("\n```")[0])
    prices = tomllib.loads((REPOSITORY / "template/src/app/llm/prices.toml").read_text())
    price = prices["models"][answer["provider"]][answer["model"]]
    usage = answer["usage"]
    dollars = usage["prompt_tokens"] * price["prompt"]
    dollars += usage["completion_tokens"] * price["completion"]
    assert answer["cost_usd"] == pytest.approx(dollars / 1_000_000)
