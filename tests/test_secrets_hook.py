"""Texts with the form of a key are not committed, in any file of the service."""

import random
import string
from pathlib import Path

import pytest
import yaml

from tests.engines import REPOSITORY, git, run, tool

CONFIG = REPOSITORY / "template/.pre-commit-config.yaml"


def some(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    any_ = random.Random(7)  # noqa: S311  # these open nothing
    return "".join(any_.choices(alphabet, k=length))


# Written in parts, so that this file may be committed itself.
KEYS = {
    "anthropic.py": f'client = Client("sk-ant-api03-{some(93)}AA")',
    "anthropic.ipynb": f'{{"cells": [{{"source": ["Client(\\"sk-ant-api03-{some(95)}\\")"]}}]}}',
    "anthropic.yaml": f"anthropic:\n  api_key: sk-ant-api03-{some(95)}",
    "openai.py": f'KEY = "sk-proj-{some(74)}T3BlbkFJ{some(74)}"',
    "openai.md": f"curl -H 'authorization: Bearer sk-svcacct-{some(70)}'",
    "openai-old.env": f"OPENAI_API_KEY=sk-{some(48)}",
    "aws.txt": "AKIA" + some(16, string.ascii_uppercase),
    "google.json": f'{{"key": "AIza{some(35)}"}}',
    "github.yml": f"token: ghp_{some(36)}",
    "gitlab.txt": f"glpat-{some(20)}",
    "vault.env": f"VAULT_TOKEN=hvs.{some(90)}",
    "hugging-face.txt": f"hf_{some(34)}",
    "slack.txt": f"xoxb-{some(24, string.digits)}",
    "private.pem": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "unknown-form.env": f"AZURE_KEY={some(32)}",
    "cassette.yaml": f"headers:\n  x-api-key: ['sk-ant-api03-{some(95)}']",
}
HARMLESS = {
    "documented.env": "OPENAI_API_KEY=\n# ANTHROPIC_API_KEY=sk-ant-…",
    "sample.py": f'KEY = "sk-ant-api03-canary-{some(90)}"',
    "reference.yaml": "secretKeyRef: { name: ai-service-secrets, key: OPENAI_API_KEY }",
    "lock.txt": f"one==1.0 \\\n    --hash=sha256:{some(64, string.hexdigits.lower())}",
    "ci.yml": "GITHUB_TOKEN: ${{ secrets.GITHUB_TOKEN }}",
    "code.py": "key = request_key(provider.name, request, tenant=tenant_of(scope))",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of the hook for all of these, each in a file of its own."""
    project = tmp_path_factory.mktemp("project")
    git(project, "init", "--quiet")
    for name, text in {**KEYS, **HARMLESS}.items():
        (project / name).write_text(text + "\n")
    (project / CONFIG.name).write_text(CONFIG.read_text())
    git(project, "add", "--all")
    return run(tool("pre-commit"), "run", "no-keys", "--all-files", cwd=project, check=False)


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_refused(refused: str, name: str) -> None:
    assert f"\n{name}:" in refused


@pytest.mark.parametrize("name", HARMLESS)
def test_text_that_is_no_key_passes(refused: str, name: str) -> None:
    assert f"\n{name}:" not in refused


def test_the_template_has_the_same_hook_for_itself() -> None:
    own, service = (hook(path) for path in (REPOSITORY / CONFIG.name, CONFIG))
    assert own == service


def hook(config: Path) -> dict[str, object]:
    hooks = yaml.safe_load(config.read_text())["repos"][0]["hooks"]
    found: dict[str, object] = next(each for each in hooks if each["id"] == "no-keys")
    return found


def test_the_template_and_the_service_themselves_pass(template: Path) -> None:
    run(tool("pre-commit"), "run", "no-keys", "--all-files", cwd=template)
