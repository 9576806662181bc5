"""Nothing secret is sent to the engine that builds the image."""

import re
from pathlib import Path

import pytest

PATTERNS = (Path(__file__).parents[2] / ".dockerignore").read_text().splitlines()


def is_sent(path: str) -> bool:
    """Apply the patterns as the engine does: the last that matches the path or a parent decides."""
    sent = True
    for line in PATTERNS:
        pattern = line.removeprefix("!").strip()
        if pattern and not line.startswith("#") and _matches(pattern, path):
            sent = line.startswith("!")
    return sent


def _matches(pattern: str, path: str) -> bool:
    signs = {"**/": "(.*/)?", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*)", pattern)
    expression = "".join(signs.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(f"{expression}(/.*)?", path) is not None


@pytest.mark.parametrize("folder", ["", "src/", "src/app/", "docs/", "docs/a/b/"])
@pytest.mark.parametrize(
    "name", [".env", ".env.prod", "tls.pem", "server.key", "store.p12", "id_rsa", "id_ed25519.pub"]
)
def test_files_that_hold_secrets_stay_behind(folder: str, name: str) -> None:
    assert not is_sent(folder + name)


@pytest.mark.parametrize("path", [".vscode/launch.json", ".devcontainer/devcontainer.json"])
def test_files_of_editors_stay_behind(path: str) -> None:
    assert not is_sent(path)


@pytest.mark.parametrize(
    "path",
    [
        "src/app/main.py",
        "src/app/llm/prices.toml",
        "src/app/configuration/secrets/vault.py",
        "docs/secrets.md",
        "requirements.txt",
        "pyproject.toml",
    ],
)
def test_what_the_image_needs_is_sent(path: str) -> None:
    assert is_sent(path)
