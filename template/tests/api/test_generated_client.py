"""A typed client that a generator makes of the OpenAPI document calls the service."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from app.main import create_app
from app.settings import Settings
from mock_api.application import create_app as create_mock
from tests.client_keys import CLIENT_KEYS, KEYS
from tests.running_service import events_of, serving

pytestmark = pytest.mark.slow

PACKAGE = "generated_client"
QUESTION = {"messages": [{"role": "user", "content": "Hello!"}]}
SETTINGS = Settings(client={"keys": CLIENT_KEYS})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.fixture(scope="module")
def output(directory: Path) -> str:
    """Generates the client; returns what the generator prints."""
    (directory / "openapi.json").write_text(json.dumps(create_app(SETTINGS).openapi()))
    (directory / "config.yaml").write_text("post_hooks: []\n")
    generator = Path(sys.executable).with_name("openapi-python-client")
    options = ["--path", "openapi.json", "--config", "config.yaml", "--output-path", PACKAGE]
    done = subprocess.run(  # noqa: S603
        [generator, "generate", *options, "--meta", "none"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


class Generated:
    """The modules of the generated package, by their names in it."""

    def __getitem__(self, name: str) -> ModuleType:
        return import_module(f"{PACKAGE}.{name}")

    @property
    def models(self) -> Any:
        return self["models"]


@pytest.fixture
def generated(output: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Generated]:
    assert output
    monkeypatch.syspath_prepend(directory)
    yield Generated()
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = create_app(SETTINGS, transport=httpx2.ASGITransport(create_mock()))
    async with serving(app) as (_, found):
        yield found


def client_with(generated: Generated, url: str, key: str) -> Any:
    return generated["client"].AuthenticatedClient(base_url=url, token=key)


@pytest.fixture
async def client(generated: Generated, url: str) -> AsyncIterator[Any]:
    async with client_with(generated, url, KEYS["acme"]) as opened:
        yield opened


async def test_the_generator_warns_of_nothing(output: str) -> None:
    assert "arning" not in output


async def test_a_chat_answer_has_its_type(generated: Generated, client: Any) -> None:
    chat = generated["api.chat.chat_v1_chat_post"]
    body = generated.models.ChatBody.from_dict({**QUESTION, "max_tokens": 50})
    answer = await chat.asyncio(client=client, body=body)
    assert isinstance(answer, generated.models.LLMResponse)
    assert isinstance(answer.usage, generated.models.Usage)
    assert answer.finish_reason == "stop"
    assert "Hello!" in answer.content


async def test_vectors_have_their_type(generated: Generated, client: Any) -> None:
    embeddings = generated["api.embeddings.embeddings_v1_embeddings_post"]
    body = generated.models.EmbeddingsBody(texts=["The Zugspitze", "A mountain"])
    answer = await embeddings.asyncio(client=client, body=body)
    assert isinstance(answer, generated.models.EmbeddingsAnswer)
    assert [item.index for item in answer.items] == [0, 1]
    assert all(isinstance(number, float) for item in answer.items for number in item.embedding)


async def test_a_refusal_is_a_typed_problem(generated: Generated, client: Any) -> None:
    chat = generated["api.chat.chat_v1_chat_post"]
    body = generated.models.ChatBody.from_dict({**QUESTION, "provider": "skynet"})
    refused = await chat.asyncio_detailed(client=client, body=body)
    assert (refused.status_code, type(refused.parsed)) == (422, generated.models.Problem)
    assert refused.parsed.type_ == "urn:problem:unknown-provider"


async def test_a_refused_key_is_a_typed_problem(generated: Generated, url: str) -> None:
    chat = generated["api.chat.chat_v1_chat_post"]
    body = generated.models.ChatBody.from_dict(QUESTION)
    async with client_with(generated, url, "ck_wrong") as stranger:
        refused = await chat.asyncio(client=stranger, body=body)
    assert (type(refused), refused.status) == (generated.models.Problem, 401)


async def test_openais_answer_has_its_type(generated: Generated, client: Any) -> None:
    completions = generated["api.openai.chat_completions_openai_v1_chat_completions_post"]
    body = generated.models.ChatCompletionIn.from_dict({**QUESTION, "model": "auto"})
    answer = await completions.asyncio(client=client, body=body)
    assert isinstance(answer, generated.models.ChatCompletion)
    assert "Hello!" in answer.choices[0].message.content


async def test_each_event_of_a_stream_has_a_type(generated: Generated, client: Any) -> None:
    models = generated.models
    types = {"delta": models.ChatDelta, "done": models.LLMResponse}
    answer = await client.get_async_httpx_client().post(
        "/v1/chat", json={**QUESTION, "stream": True}
    )
    events = events_of(answer.text)
    read = [types[name].from_dict(json.loads(data)) for name, data in events]
    assert "".join(event.text for event in read[:-1]) == read[-1].content
