"""The order of the seven sources of settings."""

from pathlib import Path

import pytest

from app.settings import Settings, load
from tests.configuration.untouched import untouched

DEFAULT_PORT = Settings.model_fields["port"].default
FROM_NEAR_TO_FAR = {
    ".env.staging": "OPENAI_MODEL={}\n",
    ".env": "APP_ENV=staging\nOPENAI_MODEL={}\n",
    "mounted/OPENAI_MODEL": "{}\n",
    "config.staging.yaml": "openai:\n  model: {}\n",
    "config.yaml": "openai: {{model: {}}}\n",
}


def written(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def _staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "staging")
    monkeypatch.setenv("CLIENT_AUTH", "off")
    written(tmp_path, "mounted/another-programs", "file")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mounted"))


@pytest.mark.usefixtures("_staging")
@pytest.mark.parametrize("nearest", FROM_NEAR_TO_FAR)
def test_the_place_nearest_to_the_process_wins(nearest: str, tmp_path: Path) -> None:
    places = list(FROM_NEAR_TO_FAR)
    for place in places[places.index(nearest) :]:
        written(tmp_path, place, FROM_NEAR_TO_FAR[place].format(f"from-{Path(place).name.lower()}"))
    assert load().openai.model == f"from-{Path(nearest).name.lower()}"


@pytest.mark.usefixtures("_staging")
def test_the_environment_wins_over_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, text in FROM_NEAR_TO_FAR.items():
        written(tmp_path, place, text.format("from-a-file"))
    monkeypatch.setenv("OPENAI_MODEL", "from-the-environment")
    assert load().openai.model == "from-the-environment"


def test_places_complete_each_other_inside_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "config.yaml", "retry: {max_attempts: 4, base_delay_s: 1}")
    written(tmp_path, ".env", "RETRY_BASE_DELAY_S=2\nRETRY_MAX_DELAY_S=5")
    monkeypatch.setenv("RETRY__MAX_DELAY_S", "6")
    retry = load().retry
    assert (retry.max_attempts, retry.base_delay_s, retry.max_delay_s) == (4, 2.0, 6.0)
    assert retry.deadline_s == untouched().retry.deadline_s


def test_the_documented_spelling_wins_over_the_explicit_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETRY__MAX_ATTEMPTS", "4")
    monkeypatch.setenv("RETRY_MAX_ATTEMPTS", "5")
    assert load().retry.max_attempts == 5


def test_the_file_of_another_environment_is_not_read(tmp_path: Path) -> None:
    written(tmp_path, ".env", "APP_ENV=staging\nCLIENT_AUTH=off")
    written(tmp_path, ".env.prod", "PORT=1111")
    written(tmp_path, "config.prod.yaml", "port: 1111")
    assert load().port == DEFAULT_PORT


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env.staging", "APP_ENV=dev"),
        ("config.yaml", "app_env: dev"),
        ("config.staging.yaml", "app_env: dev"),
        ("config.yaml", "config_file: other.yaml"),
    ],
)
def test_a_file_cannot_set_the_variables_that_select_files(
    name: str,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("APP_ENV", "staging")
    written(tmp_path, name, text)
    with pytest.raises(SystemExit):
        load()
    assert f"must be set in the environment or in .env, not in {name}" in capsys.readouterr().err


def test_a_file_may_repeat_its_app_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "staging")
    written(tmp_path, ".env.staging", "APP_ENV=Staging\nPORT=1111\nCLIENT_AUTH=off")
    assert load().port == 1111


def test_without_a_dotenv_file_no_file_is_read(tmp_path: Path) -> None:
    written(tmp_path, "config.yaml", "port: 1111")
    assert untouched().port == DEFAULT_PORT


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "openai_api_key"])
def test_a_mounted_file_is_named_like_its_variable(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, f"mounted/{name}", "sk-mounted-file\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mounted"))
    assert load().openai.key == "sk-mounted-file"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "No such file or directory", id="no directory"),
        pytest.param(b"sk-canary-\xff", "not UTF-8", id="no text"),
    ],
)
def test_mounted_files_that_cannot_be_read_are_no_empty_ones(
    content: bytes | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mounted"))
    if content is not None:
        written(tmp_path, "mounted/OPENAI_API_KEY", "").write_bytes(content)
    with pytest.raises(SystemExit):
        load()
    message = capsys.readouterr().err
    assert "SECRETS_DIR: " in message
    assert reason in message
    assert "canary" not in message
