"""The jobs that release an image at a tag: their shell lines, with programs in the place of Docker and cosign."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines import REPOSITORY, with_copier

DIGEST = f"sha256:{'1' * 64}"
# They write down how they are called, and standard input. Another registry has the same image.
DOCKER = f"""#!/bin/sh
echo "docker $*" >>"$CALLS"
case "$1" in
login) cat >"$CALLS.password" ;;
inspect) echo "[\\"other.example.com/shop@sha256:0\\",\\"$REPOSITORY@{DIGEST}\\"]" ;;
esac
"""
COSIGN = """#!/bin/sh
echo "cosign $*" >>"$CALLS"
"""


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    """A directory with the Makefile, and with these programs on the path."""
    for name in ("Makefile", "scripts"):
        source = template / "template" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "one"\n')
    (tmp_path / "programs").mkdir()
    for name, text in {"docker": DOCKER, "cosign": COSIGN}.items():
        (tmp_path / "programs" / name).write_text(text)
        (tmp_path / "programs" / name).chmod(0o755)
    return tmp_path


def run(place: Path, lines: str, **variables: str) -> list[str]:
    """Run the lines as the runner does, with its shell's options; return the calls."""
    path = f"{place / 'programs'}:{os.environ['PATH']}"
    given = {"PATH": path, "CALLS": str(place / "calls"), **variables}
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", lines], cwd=place, env=given, check=True)
    calls = (place / "calls").read_text().splitlines()
    return [call for call in calls if call not in {"docker info", "docker compose version"}]


@pytest.fixture(scope="module")
def script(lean_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lines of GitLab's job."""
    made = with_copier(lean_template, tmp_path_factory.mktemp("made") / "made", {"ci": "gitlab"})
    jobs = yaml.safe_load((made / ".gitlab-ci.yml").read_text())
    return "\n".join(jobs["release"]["script"])


class TestGitHub:
    workflow: dict[str, Any] = yaml.safe_load(
        (REPOSITORY / "template/.github/workflows/release.yml").read_text()
    )
    job: dict[str, Any] = workflow["jobs"]["image"]

    def test_the_image_is_built_pushed_and_named_by_its_digest(self, place: Path) -> None:
        image = "ghcr.io/acme/shop"
        variables = {
            "REGISTRY": self.job["env"]["REGISTRY"],
            "GITHUB_REPOSITORY": "Acme/Shop",
            "GITHUB_REF_NAME": "v1.2.3",
            "GITHUB_ACTOR": "ada",
            "GITHUB_ENV": str(place / "env"),
            "GITHUB_OUTPUT": str(place / "output"),
            "GITHUB_STEP_SUMMARY": str(place / "summary"),
            "GH_TOKEN": "canary",
            "REPOSITORY": image,
        }
        steps = {
            step["name"]: step["run"]
            for step in self.job["steps"]
            if {"name", "run"} <= step.keys()
        }
        run(place, steps["Build the image"], **variables)
        assert (place / "env").read_text() == f"IMAGE={image}\n"
        calls = run(place, steps["Push the image"], **variables, IMAGE=image)
        assert calls[:3] == [
            f"docker build --target production --tag {image}:v1.2.3 .",
            "docker login ghcr.io --username ada --password-stdin",
            f"docker push {image}:v1.2.3",
        ]
        assert (place / "calls.password").read_text() == "canary\n"
        assert (place / "output").read_text() == f"digest={DIGEST}\n"
        assert f"{image}@{DIGEST}" in (place / "summary").read_text()

    def test_the_digest_is_attested_with_provenance_and_components(self) -> None:
        attested = [step["with"] for step in self.job["steps"] if "attest@" in step.get("uses", "")]
        provenance, components = attested
        for each in attested:
            assert each["subject-name"] == "${{ env.IMAGE }}"
            assert each["subject-digest"] == "${{ steps.push.outputs.digest }}"
        assert "sbom-path" not in provenance
        sbom = components["sbom-path"]
        makefile = (REPOSITORY / "template/Makefile").read_text()
        assert re.search(
            rf"^sbom:.*\n.*sbom\.py requirements\.txt {re.escape(sbom)}$", makefile, re.MULTILINE
        )
        runs = [step.get("run") for step in self.job["steps"]]
        assert runs.index("make test") < runs.index("make sbom")

    def test_rights_are_those_of_the_one_job(self) -> None:
        assert self.workflow["permissions"] == {}
        assert self.job["permissions"] == {
            "contents": "read",
            "packages": "write",
            "id-token": "write",
            "attestations": "write",
        }


class TestGitLab:
    variables = {  # noqa: RUF012 - not changed
        "CI_REGISTRY": "registry.example.com",
        "CI_REGISTRY_IMAGE": "registry.example.com/acme/shop",
        "CI_REGISTRY_USER": "ada",
        "CI_REGISTRY_PASSWORD": "canary",
        "CI_COMMIT_TAG": "v1.2.3",
        "REPOSITORY": "registry.example.com/acme/shop",
    }

    @pytest.mark.parametrize("host", ["gitlab.com", "git.example.com"])
    def test_the_image_is_pushed_and_signed_by_its_digest(
        self, place: Path, script: str, host: str
    ) -> None:
        calls = run(place, script, CI_SERVER_HOST=host, **self.variables)
        image = "registry.example.com/acme/shop"
        assert calls[0] == "docker login registry.example.com --username ada --password-stdin"
        assert calls[1] == f"docker build --target production --tag {image}:v1.2.3 ."
        assert calls[2] == f"docker push {image}:v1.2.3"
        signed = [
            f"cosign sign {image}@{DIGEST}",
            f"cosign attest --type cyclonedx --predicate sbom.cdx.json {image}@{DIGEST}",
        ]
        assert calls[4:] == (signed if host == "gitlab.com" else [])
        assert (place / "calls.password").read_text() == "canary\n"


def test_each_action_has_one_version_pinned_by_its_hash() -> None:
    workflows = [
        *REPOSITORY.glob(".github/workflows/*.yml"),
        *REPOSITORY.glob("template/.github/workflows/*.yml"),
    ]
    used = [line for path in workflows for line in re.findall(r"uses: (.+)", path.read_text())]
    assert [
        line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    ] == []
    assert len(set(used)) == len({line.partition("@")[0] for line in used})
