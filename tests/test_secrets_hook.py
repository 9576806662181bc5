"""Keys of 60 kinds are not committed, in any file of the service, and nothing else is refused."""

import base64
import hashlib
import json
import runpy
import time
from pathlib import Path

import pytest
import yaml

from tests.engines import REPOSITORY, git, run, tool

CONFIG = REPOSITORY / "template/.pre-commit-config.yaml"
SCRIPT = str(REPOSITORY / "template/scripts/no_keys.py")
KINDS: dict[str, tuple[str, str]] = runpy.run_path(
    str(REPOSITORY / "template/tests/telemetry/kinds_of_keys.py")
)["KINDS"]
NAMES = {kind: f"{number}.txt" for number, kind in enumerate(KINDS)}

# Other tests commit one of these.
KEYS = {"anthropic.py": KINDS["Anthropic"][0]}

_DIGEST = hashlib.sha512(b"no key").hexdigest()
_IMAGE = base64.b64encode(b"".join(hashlib.sha512(bytes([n])).digest() for n in range(200)))
_UUID = "6f1d2c3b-aaaa-4bbb-8ccc-0123456789ab"
HARMLESS = {
    "documented.env": "OPENAI_API_KEY=\n# ANTHROPIC_API_KEY=sk-ant-…\nREDIS_URL=redis://:password@redis:6379/0",
    "sample.py": f'KEY = "{KINDS["Anthropic"][1]}"  # canary'.replace('"', '"sk-ant-api03-', 1),
    "allowed.py": f'KEY = "{KINDS["GitHub"][0]}"  # gitleaks:allow',
    "placeholders.md": "AKIAIOSFODNN7EXAMPLE, sk_live_your_key_goes_here_12345, ghp_" + "x" * 36,
    "reference.yaml": "secretKeyRef: { name: ai-service-secrets, key: OPENAI_API_KEY }",
    "lock.txt": f"one==1.0 \\\n    --hash=sha256:{_DIGEST[:64]}",
    "lock.toml": f'wheels = [{{ url = "one-1.0-py3-none-any.whl", hash = "sha256:{_DIGEST[:64]}" }}]',
    "lock.json": f'{{"integrity": "sha512-{base64.b64encode(_DIGEST.encode()).decode()}"}}',
    "ci.yml": f"GITHUB_TOKEN: ${{{{ secrets.GITHUB_TOKEN }}}}\nuses: actions/checkout@{_DIGEST[:40]}",
    "code.py": "key = request_key(provider.name, request, tenant=tenant_of(scope))\n"
    "token = settings.openai_2.api_key\nsecret_key_ref = names.SECRET_KEY_REF_V1ALPHA1",
    "ids.json": json.dumps({"id": _UUID, "key": _UUID, "commit": _DIGEST[:40]}),
    "image.svg": f'<image href="data:image/png;base64,{_IMAGE.decode()}"/>',
    "notebook.ipynb": json.dumps({"outputs": [{"data": {"image/png": _IMAGE.decode()}}]}),
    "addresses.md": "postgres://app:password@db/app, https://user:$PASSWORD@host, redis://:<secret>@host",
    "german.md": "Schlüssel: Donaudampfschifffahrtsgesellschaftskapitän2",
    "caches.py": f"digest = {_DIGEST!r}",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of the hook for all of these, each in a file of its own."""
    project = tmp_path_factory.mktemp("project")
    for kind, (text, _) in KINDS.items():
        (project / NAMES[kind]).write_text(f"Line 1\n{text}\n")
    for name, text in HARMLESS.items():
        (project / name).write_text(text + "\n")
    files = sorted(file.name for file in project.iterdir())
    return run(tool("python"), SCRIPT, *files, cwd=project, check=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_refused_by_file_line_and_kind(refused: str, kind: str) -> None:
    lines = [line for line in refused.splitlines() if line.startswith(f"{NAMES[kind]}:2: ")]
    assert len(lines) == 1, lines
    assert not any(part[-8:] in refused for part in KINDS[kind][1].splitlines() if "--" not in part)


@pytest.mark.parametrize("name", HARMLESS)
def test_text_that_is_no_key_passes(refused: str, name: str) -> None:
    assert f"{name}:" not in refused


def test_the_hook_says_what_to_do(refused: str) -> None:
    assert ": github-pat: ghp_… (40 characters)\n" in refused
    assert "put them into .env (docs/secrets.md)" in refused
    assert "write gitleaks:allow in a comment on the line" in refused


def test_a_commit_without_a_key_passes_silently(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("The key is in .env.\n")
    assert run(tool("python"), SCRIPT, "notes.md", cwd=tmp_path) == ""


def test_the_template_has_the_same_hook_for_itself() -> None:
    own, service = (hook(path) for path in (REPOSITORY / CONFIG.name, CONFIG))
    assert own["entry"] == f"{service['entry']}".replace(" scripts/", " template/scripts/")
    assert {**own, "entry": ""} == {**service, "entry": ""}


def hook(config: Path) -> dict[str, object]:
    hooks = yaml.safe_load(config.read_text())["repos"][0]["hooks"]
    found: dict[str, object] = next(each for each in hooks if each["id"] == "no-keys")
    return found


def test_the_template_and_the_service_themselves_pass_in_a_second(template: Path) -> None:
    files = [file for file in git(template, "ls-files").splitlines() if (template / file).is_file()]
    assert len(files) > 700
    best = min(_seconds(template, files) for _ in range(2))
    assert best < 8  # 0.6 s on a quiet machine


def _seconds(directory: Path, files: list[str]) -> float:
    started = time.perf_counter()
    assert run(tool("python"), SCRIPT, *files, cwd=directory) == ""
    return time.perf_counter() - started
