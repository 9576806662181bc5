from pathlib import Path

import pytest

from app.configuration.refusal import EX_CONFIG
from app.settings import load
from tests.configuration.untouched import untouched


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def refused(capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    lines = capsys.readouterr().err.splitlines()
    return [line.strip() for line in lines if line.startswith("  ")]


def test_groups_are_nested_and_values_have_their_own_types(config: Path) -> None:
    config.write_text(
        "# for all\nport: 1111\nllm_providers: [anthropic]\nenable_caching: false\n"
        "retry:\n  max_attempts: 4\n"
    )
    settings = load()
    assert (settings.port, settings.enable_caching) == (1111, False)
    assert settings.llm_providers == ("anthropic",)
    assert settings.retry.max_attempts == 4


@pytest.mark.parametrize("text", ["", "# nothing yet", "temperature:\nretry: {}\nlog:"])
def test_a_key_without_a_value_means_the_default(text: str, config: Path) -> None:
    config.write_text(text)
    assert load() == untouched()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "retry: {max_atempts: 4}",
            "retry.max_atempts: is not a setting; did you mean retry.max_attempts?",
            id="in a group",
        ),
        pytest.param("prot: 1", "prot: is not a setting; did you mean port?", id="alone"),
        pytest.param(
            "colour: red", "colour: is not a setting; see .env.example", id="like nothing"
        ),
        pytest.param(
            "PORT: 1111", "PORT: is not a setting; did you mean port?", id="a variable's spelling"
        ),
    ],
)
def test_a_mistyped_key_is_refused(
    text: str, problem: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(text)
    assert refused(capsys)[0].startswith(problem)


def test_every_fault_is_reported_with_file_and_key(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("retry: {max_attempts: 0, typo: 1}\nmax_tokens: 0")
    config.with_name(".env").write_text("MAX_CONCURRENCY=0")
    monkeypatch.setenv("PORT", "http")
    at = {line.partition(":")[0]: line.rpartition(" (")[2] for line in refused(capsys)}
    assert at["RETRY_MAX_ATTEMPTS"] == "config.yaml: retry.max_attempts)"
    assert at["MAX_TOKENS"] == "config.yaml: max_tokens)"
    assert at["MAX_CONCURRENCY"] == ".env)"
    assert set(at) == {"RETRY_MAX_ATTEMPTS", "MAX_TOKENS", "MAX_CONCURRENCY", "PORT", "retry.typo"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(b"port: 1\nhost: [", "line 2 of config.yaml", id="no YAML"),
        pytest.param(
            b"port: 1\nport: 2", "line 2 of config.yaml: the key port occurs twice", id="twice"
        ),
        pytest.param(
            b"log: {level: INFO, level: ERROR}", "the key level occurs twice", id="in a group"
        ),
        pytest.param(
            b"port: 1\n[host]: 2", "line 2 of config.yaml: a key must", id="a list as key"
        ),
        pytest.param(b"log: &log {level: *log}", "cannot read config.yaml", id="endless"),
        pytest.param(b"- port", "must consist of keys and values", id="a list"),
        pytest.param(b"host: \xff", "config.yaml line 1 is not UTF-8", id="no text"),
    ],
)
def test_an_unreadable_file_stops_the_start(
    text: bytes, reason: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_bytes(text)
    [line] = refused(capsys)
    assert line.startswith("CONFIG_FILE: ")
    assert reason in line


def test_a_tag_for_a_python_object_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("host: !!python/object/apply:os.getcwd []")
    assert refused(capsys)


def test_the_file_can_be_elsewhere_and_its_sibling_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "service.yml").write_text("port: 1111\nmax_tokens: 5")
    (mounted / "service.dev.yml").write_text("port: 2222")
    monkeypatch.setenv("CONFIG_FILE", str(mounted / "service.yml"))
    settings = load()
    assert (settings.port, settings.max_tokens) == (2222, 5)
