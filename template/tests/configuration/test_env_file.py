"""`.env` and similar files, as other systems and tools write them."""

import codecs
import os
from pathlib import Path

import pytest

from app.configuration.env_file import variables_in
from app.configuration.refusal import EX_CONFIG
from app.configuration.text_file import SourceError
from app.settings import load

LINES = "# Schlüssel\r\nOPENAI_API_KEY=sk-canary\r\nMAX_TOKENS=77\r\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LINES.encode(), id="CRLF"),
        pytest.param(LINES.encode("utf-8-sig"), id="UTF-8 with a mark"),
        pytest.param(codecs.BOM_UTF16_LE + LINES.encode("utf-16-le"), id="UTF-16 LE"),
        pytest.param(codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"), id="UTF-16 BE"),
        pytest.param(LINES.replace("\r\n", "\r").encode(), id="CR"),
    ],
)
@pytest.mark.parametrize("name", [".env", ".env.dev"])
def test_a_file_saved_on_another_system_is_read(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    settings = load()
    assert (settings.openai.key, settings.max_tokens) == ("sk-canary", 77)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    shown = capsys.readouterr().err
    assert "canary" not in shown
    lines = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
    assert len(lines) == 1, shown
    return lines[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("PORT=1\n# Schlüssel".encode("latin-1"), "line 2 is not UTF-8", id="Latin-1"),
        pytest.param("PORT=1\nA=b".encode("utf-16-le"), "line 1 has a NUL", id="UTF-16 unmarked"),
        pytest.param("PORT=1".encode("utf-32"), "line 1 has a NUL byte", id="UTF-32"),
        pytest.param(b"\xff\xfeP\0O", "line 1 is not UTF-16", id="half a character"),
        pytest.param(b"A=1\n\nOPENAI_API_KEY=\0canary", "line 3 has a NUL byte", id="NUL"),
        pytest.param(b"A=1\n\n\nOPENAI_API_KEY canary", "line 4 is not NAME=value", id="no ="),
        pytest.param(b"OPENAI_API_KEY:canary", "line 1 is not NAME=value", id="YAML"),
        pytest.param(b"OPENAI_API_KEY: canary", "line 1 is not NAME=value", id="YAML, spaced"),
        pytest.param(b'OPENAI_API_KEY="canary', "line 1 is not NAME=value", id="half a quote"),
        pytest.param(b"REDIS_URL=redis://:ca$canary@h", "line 1 has a $", id="dollar"),
        pytest.param(b'A="$$canary"', "line 1 has a $", id="two dollars"),
    ],
)
def test_an_unclear_line_is_refused_by_its_number_without_its_content(
    content: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_bytes(content)
    assert refusal(capsys).startswith(f".env: {reason}")


@pytest.mark.parametrize("name", [".env", ".env.dev", "config.yaml"])
def test_a_directory_in_place_of_a_file_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).mkdir()
    line = refusal(capsys)
    assert name in line
    assert "is a directory" in line


def test_a_link_to_no_file_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(SourceError, match="No such file"):
        variables_in(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is a pipe"):
        variables_in(tmp_path / "pipe")


def test_a_mounted_secret_is_read_or_refused_likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    (tmp_path / "OPENAI_API_KEY").write_text("sk-canary\n", encoding="utf-16")
    assert load().openai.key == "sk-canary"
    (tmp_path / "OPENAI_API_KEY").write_bytes(b"sk-canary\xe9")
    assert "OPENAI_API_KEY line 1 is not UTF-8" in refusal(capsys)


def test_lines_have_the_values_that_docker_compose_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared by hand with `docker compose config` of Compose 2.40."""
    monkeypatch.setenv("REGION", "eu")
    path = tmp_path / "env"
    path.write_text(
        "export A=1\n B = 2 # two\nC=\"3 # three\"\nD='$4'\nE=five#5\nF=${REGION}-${NONE:-6}\n"
        "G=\nH\nI= \nJ='${REGION}'\n"
    )
    assert variables_in(path) == {
        "A": "1",
        "B": "2",
        "C": "3 # three",
        "D": "$4",
        "E": "five#5",
        "F": "eu-6",
        "G": "",
        "I": "",
        "J": "${REGION}",
    }
