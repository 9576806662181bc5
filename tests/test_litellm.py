"""The service behind and in front of a real LiteLLM proxy, in an environment that is thrown away."""

import subprocess
from pathlib import Path

import pytest

from tests.engines import tool
from tests.service import generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Its proxy installs 730 MB. Newer versions are tried by hand: `template/docs/gateways.md`.
LITELLM = "litellm[proxy]==1.108.7"


@pytest.fixture
def litellm(tmp_path: Path) -> Path:
    """The path of the program, or a skipped test where the package cannot be installed."""
    place = tmp_path / "litellm"
    python = str(place / "bin/python")
    for command in (
        [tool("uv"), "venv", "--quiet", "--python", "3.13", str(place)],
        [tool("uv"), "pip", "install", "--quiet", "--python", python, LITELLM],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"{LITELLM} cannot be installed: {done.stderr.strip()[-300:]}")
    return place / "bin/litellm"


def test_litellm_serves_behind_the_service_and_in_front_of_it(
    litellm: Path, tmp_path: Path
) -> None:
    service = generate(tmp_path / "service")
    output = service.run(
        "env", f"LITELLM={litellm}", "make", "test", "NATIVE=1", "ARGS=-m slow tests/gateways",
    )  # fmt: skip
    assert " passed" in output
    assert "skipped" not in output
