"""The answers and paths of a Cookiecutter run, as its hooks receive them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.config import questions_of, read_config
from bridge.layout import DIRECTORY


@dataclass(frozen=True)
class Context:
    root: Path  # Cookiecutter's temporary copy of this repository
    answers: dict[str, str]
    given: dict[str, Any]
    template: str
    output_dir: str

    @property
    def directory(self) -> Path:
        return self.root / DIRECTORY


def parse(rendered: str) -> Context:
    """Parse the JSON that Cookiecutter renders into a hook."""
    found = json.loads(rendered)
    everything = found["answers"]
    root = Path(everything["_repo_dir"])
    return Context(
        root=root,
        answers={name: str(everything[name]) for name in questions_of(read_config(root))},
        given=found["given"],
        template=everything["_template"],
        output_dir=everything["_output_dir"],
    )
