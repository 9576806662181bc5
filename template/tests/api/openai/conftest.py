"""The official SDK against the service in this process."""

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests import sdk
from tests.running_service import RunningService

if TYPE_CHECKING:
    from openai import AsyncOpenAI


def client_of(http: httpx2.AsyncClient) -> "AsyncOpenAI":
    url = str(http.base_url.join("/openai/v1"))
    return sdk.openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0, http_client=http)


@pytest.fixture
def openai(api: httpx2.AsyncClient) -> "AsyncOpenAI":
    """The SDK in front of the whole service, with the mock API behind it."""
    return client_of(api)


@pytest.fixture
def openai_of_fake(service: RunningService) -> "AsyncOpenAI":
    """The SDK in front of the service with the fixture `model` behind it."""
    return client_of(service.http)
