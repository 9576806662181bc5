"""Fixtures for every test: no configuration or file of the developer is read or changed."""

import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from shutil import rmtree

import httpx2
import pytest
from hypothesis import settings as hypothesis_settings

from app.configuration.names import groups
from app.llm import http
from app.llm.transports.pool import transport_class
from app.main import create_app
from app.settings import Settings
from app.telemetry.redaction import KNOWN
from app.testing import CapturedLogs, FakeChatModel, captured_logs
from mock_api.application import create_app as create_mock
from tests import key_slots, schedule
from tests.running_service import RunningService, opened

# A busy machine must not fail a test, and a test must not affect the next one.
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
    """Exclude existing objects from garbage collection: it saves a twentieth of the time."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave most tests of the vendors' clients to the slow ones.

    A test with an `-sdk` parameter is a test of every provider. By default one file is run with
    the SDKs as well, and the others when the slow tests are.
    """
    for item in items:
        if "-sdk" in item.nodeid and item.path.stem != "test_sdk_providers":
            item.add_marker(pytest.mark.slow)


KEY_CHECKS = tuple(key_slots.patches())
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
    """Compare the whole request with the recorded one, and record no key."""
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


@pytest.fixture(autouse=True)
def _keys_of_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script, transaction or command of Redis that a cluster would refuse fails its test."""
    for owner, name, checked in KEY_CHECKS:
        monkeypatch.setattr(owner, name, checked)


@pytest.fixture(autouse=True)
def _no_known_secrets() -> Iterator[None]:
    """Secrets of one test's settings are not masked in the next test."""
    yield
    KNOWN.forget()


@pytest.fixture(params=["aiohttp", pytest.param("httpx2", marks=pytest.mark.slow)])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with each library that can make the connections (`HTTP_TRANSPORT`)."""
    chosen = transport_class(request.param)
    monkeypatch.setattr(http, "transport_class", lambda _name: chosen)


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


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """The whole service, started in this process, with the mock API behind it."""
    app = create_app(settings, transport=httpx2.ASGITransport(create_mock()))
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


@pytest.fixture
async def service(model: FakeChatModel) -> AsyncIterator[RunningService]:
    """The service, started in this process, with a fake model behind it."""
    async with opened(model) as started:
        yield started
