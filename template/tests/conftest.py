"""What holds for every test: nobody's configuration leaks in, nobody's files are touched."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from hypothesis import settings as hypothesis_settings

from app.configuration.names import groups
from app.settings import Settings
from app.testing import CapturedLogs, FakeChatModel, captured_logs
from tests import schedule

# A machine that is busy is no failure, and a test leaves nothing behind.
hypothesis_settings.register_profile("service", deadline=None, database=None)
# For `make mutants`: thousands of runs, each of which should find the same.
hypothesis_settings.register_profile(
    "mutants", deadline=None, database=None, derandomize=True, max_examples=25
)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "service"))


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest-xdist which tests belong together, where it is there and not switched off."""
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(schedule)


def pytest_collection_finish() -> None:
    """What is there now stays, so no collection has to look at it again: it saves a twentieth."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most tests of the vendors' clients to the slow ones.

    What has an `-sdk` for a parameter is a test of every provider. By default one file is run with
    the SDKs as well, and the others when the slow tests are.
    """
    for item in items:
        if "-sdk" in item.nodeid and item.path.stem != "test_sdk_providers":
            item.add_marker(pytest.mark.slow)


_PREFIXES = tuple(f"{name}_" for name in groups(Settings))
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_NAMES = {name.upper() for name in Settings.model_fields} | _PROXIES


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's variables change nothing."""
    for variable in os.environ:
        if variable.upper() in _NAMES or variable.upper().startswith(_PREFIXES):
            monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def _nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nowhere")


@pytest.fixture(autouse=True)
def _nobodys_directory(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _nowhere: Path
) -> Iterator[None]:
    """A developer's `.env` changes nothing, and the next test's neither.

    Most tests have no file: they share an empty directory, which costs them nothing.
    """
    own = "tmp_path" in request.fixturenames
    monkeypatch.chdir(request.getfixturevalue("tmp_path") if own else _nowhere)
    yield
    if left := [path.name for path in _nowhere.iterdir()]:
        rmtree(_nowhere)
        _nowhere.mkdir()
        pytest.fail(f"asks for no tmp_path and leaves {left}")


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, object]:
    """Of a recorded call everything that we send has to be the same, and no key is kept."""
    return {
        "match_on": ["method", "uri", "body"],
        "filter_headers": ["authorization", "x-api-key", "x-request-id", "traceparent"],
        "before_record_response": _without_an_account,
    }


@pytest.fixture
def default_cassette_name(request: pytest.FixtureRequest) -> str:
    """Without brackets, which are patterns to other tools."""
    return str(request.node.name).replace("[", "-").rstrip("]")


def _without_an_account(response: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    kept = {"content-type", "retry-after"}
    headers = {name: value for name, value in response["headers"].items() if name.lower() in kept}
    return {**response, "headers": headers}


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture(autouse=True)
def logs() -> Iterator[CapturedLogs]:
    """Show the log of a failed test, as the service would have written it."""
    with captured_logs() as captured:
        yield captured
    sys.stdout.write(captured.text)


@pytest.fixture
def model() -> FakeChatModel:
    return FakeChatModel("Hello!")
