"""Jobs with the mode `batch`, through the batches of the mock API."""

from typing import Any

import httpx2
import pytest

from app.features.jobs.policy import JobsPolicy
from app.llm.providers.anthropic.policy import AnthropicPolicy
from app.llm.providers.openai.policy import OpenAIPolicy
from app.main import create_app
from app.network import ssl_context
from app.settings import Settings
from mock_api.testing import running_server
from tests.features.jobs.at_endpoint import QUESTIONS, at_the_end, created
from tests.running_service import RunningService

INVOICE = {"text": "Invoice 7, Nut & Bolt Ltd. 100 bolts: 12 EUR."}


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("kind", "items", "field"),
    [
        pytest.param("chat", QUESTIONS, "content", id="chat"),
        pytest.param("extract", [INVOICE], "number", id="extract"),  # feature: extract
    ],
)
async def test_a_job_goes_through_the_batches_of_the_mock_api(
    provider: str, kind: str, items: list[Any], field: str
) -> None:
    with running_server() as mock:
        app = create_app(
            Settings(
                llm_providers=(provider,),
                openai=OpenAIPolicy(base_url=f"{mock}/v1", model="gpt-5-mini"),
                anthropic=AnthropicPolicy(base_url=mock, model="claude-haiku-4-5"),
                jobs=JobsPolicy(batch_poll_s=1),
            )
        )
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://service") as http,
        ):
            service = RunningService(app, http)
            job = await at_the_end(service, await created(service, kind, items, mode="batch"))
            metrics = (await http.get("/metrics")).text
        received = httpx2.get(f"{mock}/_mock/requests", verify=ssl_context()).json()
    assert (job["mode"], job["succeeded"], job["failed"]) == ("batch", len(items), 0)
    assert all(each["result"][field] for each in job["results"])
    assert 'job_batches_total{outcome="ended"} 1.0' in metrics
    assert f'provider="{provider}"' in metrics
    called = {each["path"] for each in received}
    assert not {"/v1/chat/completions", "/v1/messages"} & called


async def test_an_answer_of_a_batch_has_the_price_of_batches() -> None:
    with running_server() as mock:
        policy = OpenAIPolicy(base_url=f"{mock}/v1", model="gpt-5-mini")
        settings = Settings(
            llm_providers=("openai",), openai=policy, jobs=JobsPolicy(batch_poll_s=1)
        )
        app = create_app(settings)
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://service") as http,
        ):
            service = RunningService(app, http)
            direct, batch = [
                await at_the_end(service, await created(service, "chat", QUESTIONS[:1], mode=mode))
                for mode in ("direct", "batch")
            ]
    cost, halved = [job["results"][0]["result"]["cost_usd"] for job in (direct, batch)]
    assert halved == pytest.approx(cost / 2)
