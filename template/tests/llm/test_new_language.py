"""A new wire format needs a client and one line in the registry; settings, rules and guards follow."""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from app.cli import main
from app.configuration.refusal import EX_CONFIG
from app.errors import UnsupportedRequestError
from app.llm.exchange import Exchange
from app.llm.http import Connections
from app.llm.providers.policy import Facts, ProviderPolicy
from app.llm.providers.registry import API, APIS
from app.llm.types import (
    ChatRequest,
    Done,
    EmbeddingRequest,
    Embeddings,
    LLMResponse,
    StreamEvent,
    TextDelta,
    Usage,
)
from app.main import create_app
from app.settings import load
from tests.running_service import QUESTION

ACME = {
    "LLM_PROVIDERS": "acme",
    "PROVIDERS__ACME__API": "shout",
    "PROVIDERS__ACME__BASE_URL": "http://acme.test/speak",
    "PROVIDERS__ACME__MODEL": "loud-1",
}


class Shout:
    """A client with a wire format of its own: the question as text, the answer in capitals."""

    name = "shout"

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = connections.to(
            policy.name or self.name, policy.base_url, policy.key_headers, lambda _body: None
        )

    async def complete(self, request: ChatRequest) -> LLMResponse:
        asked = self._policy.applied_to(request)
        with Exchange() as exchange:
            body = await self._http.post_json("", {"say": asked.messages[-1].content}, exchange)
        return LLMResponse(
            id="1",
            provider=self.name,
            model=asked.model or "",
            content=body.decode(),
            finish_reason="stop",
            usage=Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2),
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        response = await self.complete(request)
        yield TextDelta(response.content)
        yield Done(response)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        self._policy.applied_to_embedding(request)
        raise UnsupportedRequestError(f"{self.name} has no embeddings", provider=self.name)

    async def ping(self) -> None:
        await self._http.get("")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(APIS, dict)
    line = {"shout": API(Shout, facts=Facts(key_header="api-key", max_temperature=0.5))}
    monkeypatch.setitem(APIS, *line.popitem())
    for name, value in ACME.items():
        monkeypatch.setenv(name, value)


async def test_a_new_wire_format_answers_in_the_whole_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROVIDERS__ACME__API_KEY", "k")
    sent: list[httpx2.Request] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, text="HELLO")

    app = create_app(load(), transport=httpx2.MockTransport(server))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        answer = (await http.post("/v1/chat", json=QUESTION)).json()
        refused = await http.post("/v1/chat", json={**QUESTION, "temperature": 0.6})
        vectors = await http.post("/v1/embeddings", json={"texts": ["one"]})
    assert (answer["provider"], answer["model"], answer["content"]) == ("acme", "loud-1", "HELLO")
    assert (str(sent[0].url), sent[0].headers["api-key"]) == ("http://acme.test/speak", "k")
    assert refused.status_code == 422
    assert "acme accepts a temperature from 0 to 0.5" in refused.text
    assert "configured are: acme" in vectors.text


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("APP_ENV", "prod", "PROVIDERS__ACME__API_KEY: must be set in prod"),
        (
            "PROVIDERS__ACME__EMBEDDING_MODEL",
            "e",
            "PROVIDERS__ACME__EMBEDDING_MODEL: has no meaning",
        ),
        ("PROVIDERS__ACME__API", "shouts", "PROVIDERS__ACME__API: must be one of openai"),
        ("TEMPERATURE", "0.6", "TEMPERATURE: must be at most 0.5 for acme"),
    ],
)
def test_the_rules_of_prod_cover_a_new_wire_format(
    name: str,
    value: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    assert f"  {line}" in capsys.readouterr().err


def test_the_config_command_shows_a_new_wire_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["app", "config"])
    main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["PROVIDERS__ACME__API", "shout", "environment"] in rows
