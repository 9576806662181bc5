"""Applies Copier's choices and validators to Cookiecutter's answers."""

import json
from pathlib import Path
from typing import Any

from bridge.config import copier_jinja, questions_of, read_config
from bridge.delimiters import START


def refusals(root: Path, answers: dict[str, str], given: dict[str, Any]) -> list[str]:
    """One line for each invalid answer. `given` are the answers before they were rendered."""
    values = {**answers, **templates_in(given, root)}
    jinja = copier_jinja(root)
    found = []
    for name, question in questions_of(read_config(root)).items():
        validator = jinja.from_string(question.get("validator", ""))
        message = not_offered(question, values[name]) or validator.render(values).strip()
        if message:
            found.append(f"{name}: {message}")
    return found


def templates_in(given: dict[str, Any], root: Path) -> dict[str, str]:
    """The answers that are templates; a default of our own may be one too."""
    defaults = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    return {
        name: value
        for name, value in given.items()
        if isinstance(value, str) and START in value and value != defaults.get(name)
    }


def not_offered(question: dict[str, Any], answer: str) -> str:
    choices = question.get("choices")
    if not choices or answer in choices:
        return ""
    return f"must be one of {', '.join(choices)}"
