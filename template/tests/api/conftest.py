"""The service, started in this process."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from app.main import create_app
from app.settings import Settings
from app.testing import FakeChatModel
from mock_api.application import create_app as create_mock
from tests.door import Door, opened


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
async def door(model: FakeChatModel) -> AsyncIterator[Door]:
    """The service, started in this process, with a fake model behind it."""
    async with opened(model) as started:
        yield started
