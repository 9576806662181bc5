"""What holds for every test: nobody's configuration leaks in, nobody's files are touched."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import settings as hypothesis_settings

from app.configuration.names import groups
from app.main import create_app
from app.settings import Settings
from app.testing import CapturedLogs, FakeChatModel, captured_logs
from mock_api.application import create_app as create_mock
from tests.door import Door, opened

# A machine that is busy is no failure, and a test leaves nothing behind.
hypothesis_settings.register_profile("service", deadline=None, database=None)
# For `make mutants`: thousands of runs, each of which should find the same.
hypothesis_settings.register_profile(
    "mutants", deadline=None, database=None, derandomize=True, max_examples=25
)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "service"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The vendors' clients take four seconds to import: one worker does it, and some tests wait.

    What has an `-sdk` for a parameter is a test of every provider. By default the two files that
    tell most are run with the SDKs as well, and the others when the slow tests are.
    """
    for item in items:
        if "-sdk" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("sdk"))
            if item.path.stem not in {"test_sdk_providers", "test_against_mock_api"}:
                item.add_marker(pytest.mark.slow)


_PREFIXES = tuple(f"{name}_" for name in groups(Settings))
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A developer's variables and `.env` change nothing; the next test's neither."""
    names = {name.upper() for name in Settings.model_fields} | _PROXIES
    for variable in os.environ:
        if variable.upper() in names or variable.upper().startswith(_PREFIXES):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


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
def model() -> FakeChatModel:
    return FakeChatModel("Hello!")


@pytest.fixture
async def door(model: FakeChatModel) -> AsyncIterator[Door]:
    """The service, started in this process, with a fake model behind it."""
    async with opened(model) as started:
        yield started
