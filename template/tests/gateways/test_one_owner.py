"""The settings of docs/gateways.md: retries have one owner, and a gateway learns the time that is left."""

import re
from pathlib import Path

import httpx2
import pytest

from app.main import create_app
from app.settings import Settings, load
from tests.llm.samples import ANTHROPIC, OPENAI
from tests.running_service import QUESTION

PAGE = (Path(__file__).parents[2] / "docs/gateways.md").read_text()
BLOCKS = {
    block.split("=")[1].split()[0]: block
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
}
QUICK = {"max_attempts": 3, "base_delay_s": 0.001, "max_delay_s": 0.001}
ADDRESS = {"base_url": "http://gateway.test", "api_key": "sk-gateway", "model": "a-model"}


class Upstream:
    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.status != 200:
            return httpx2.Response(self.status)
        is_openai = request.url.path.endswith("completions")
        return httpx2.Response(200, content=OPENAI.body if is_openai else ANTHROPIC.body)


async def asked(upstream: Upstream, **fields: object) -> httpx2.Response:
    settings = Settings(
        llm_providers="gateway",  # type: ignore[arg-type]  # as in the environment
        providers={"gateway": {**ADDRESS, **fields}},  # type: ignore[dict-item]
        retry=QUICK,  # type: ignore[arg-type]
        health_probe_interval_s=0,
    )
    app = create_app(settings, transport=httpx2.MockTransport(upstream))
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        return await client.post("/v1/chat", json=QUESTION, headers={"X-Request-Timeout": "50"})


@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        pytest.param({"preset": "litellm"}, 1, id="the gateway, by its preset"),
        pytest.param({"preset": "litellm", "retries": True}, 3, id="the service, by a setting"),
        pytest.param({"api": "openai"}, 3, id="the service, by default"),
        pytest.param({"api": "openai", "retries": False}, 1, id="the gateway, by a setting"),
    ],
)
async def test_a_failed_call_is_repeated_by_its_owner_only(
    fields: dict[str, object], attempts: int
) -> None:
    upstream = Upstream(status=500)
    answer = await asked(upstream, **fields)
    assert (answer.status_code, len(upstream.requests)) == (502, attempts)


@pytest.mark.parametrize("api", ["openai", "anthropic", "openai-sdk", "anthropic-sdk"])
async def test_each_language_passes_the_remaining_time_on(api: str) -> None:
    upstream = Upstream()
    answer = await asked(upstream, api=api, deadline_header="x-request-timeout")
    assert answer.status_code == 200
    assert 40 < float(upstream.requests[0].headers["x-request-timeout"]) <= 50


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_block_of_the_page_is_a_whole_configuration(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV", "prod")
    monkeypatch.setenv("CLIENT_AUTH", "off")
    (tmp_path / ".env").write_text(block)
    settings = load()
    policy = settings.provider(settings.llm_providers[0])
    assert policy.retrying(settings.retrying).max_attempts == 1
    assert policy.deadline_header is not None


def test_the_page_has_litellm_and_envoy() -> None:
    assert set(BLOCKS) == {"litellm", "envoy"}
