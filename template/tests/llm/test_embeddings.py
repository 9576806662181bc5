"""Embeddings of OpenAI: the request, the answer, and malformed answers."""

import base64
import copy
import json
import math
import struct
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest

from app.errors import MalformedAnswerError, RateLimitError, UnsupportedRequestError
from app.llm.costs import Receipt
from app.llm.fallback import Fallback
from app.llm.guards.guard import WithDefaults, stacked
from app.llm.http import HTTPPolicy, open_connections
from app.llm.providers.anthropic.client import AnthropicChat
from app.llm.providers.openai.client import OpenAI
from app.llm.providers.openai.policy import OpenAIPolicy
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import EmbeddingRequest, Embeddings, Usage
from app.testing import captured_logs
from tests.llm.samples import JSONObject

TEXTS = EmbeddingRequest(("first", "second"))
POLICY = OpenAIPolicy("http://provider.test/v1", model="chat-model", embedding_model="our-model")


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def embedding(index: int, vector: object) -> JSONObject:
    return {"object": "embedding", "index": index, "embedding": vector}


def answer_with(*data: JSONObject) -> JSONObject:
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return {"object": "list", "data": list(data), "model": "our-model-2026", "usage": usage}


GOOD = answer_with(embedding(0, packed(0.5, -1.0)), embedding(1, packed(0.0, 0.25)))


class Upstream:
    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, content=json.dumps(self.answer).encode())

    async def embed(
        self, request: EmbeddingRequest = TEXTS, policy: ProviderPolicy = POLICY
    ) -> Embeddings:
        async with open_connections(HTTPPolicy(), httpx.MockTransport(self)) as connections:
            return await stacked(OpenAI(policy, connections), [WithDefaults(policy)]).embed(request)


async def embedded(answer: object) -> Embeddings:
    return await Upstream(answer).embed()


async def test_texts_are_asked_for_in_the_compact_form() -> None:
    upstream = Upstream(GOOD)
    await upstream.embed()
    (request,) = upstream.requests
    assert request.url.path == "/v1/embeddings"
    assert json.loads(request.content) == {
        "model": "our-model",
        "input": ["first", "second"],
        "encoding_format": "base64",
    }


@pytest.mark.parametrize(
    ("policy", "wanted", "asked"),
    [
        pytest.param(POLICY, None, "our-model", id="the settings'"),
        pytest.param(POLICY, "mine", "mine", id="the request's"),
        pytest.param(
            OpenAIPolicy("http://provider.test/v1", "m"),
            None,
            "text-embedding-3-small",
            id="none",
        ),
    ],
)
async def test_a_model_for_embeddings_is_named(
    policy: ProviderPolicy, wanted: str | None, asked: str
) -> None:
    upstream = Upstream(GOOD)
    await upstream.embed(EmbeddingRequest(TEXTS.texts, model=wanted), policy)
    assert json.loads(upstream.requests[0].content)["model"] == asked


async def test_vectors_are_unpacked() -> None:
    embeddings = await embedded(GOOD)
    assert [list(vector) for vector in embeddings.vectors] == [[0.5, -1.0], [0.0, 0.25]]
    assert (embeddings.model, embeddings.prompt_tokens) == ("our-model-2026", 5)


async def test_a_server_that_only_knows_lists_is_understood() -> None:
    embeddings = await embedded(answer_with(embedding(0, [0.1, 1]), embedding(1, [1e300, 0])))
    assert [list(vector) for vector in embeddings.vectors] == [[0.1, 1.0], [1e300, 0.0]]


async def test_vectors_are_assigned_by_their_index() -> None:
    embeddings = await embedded(answer_with(embedding(1, packed(1.0)), embedding(0, packed(0.0))))
    assert [list(vector) for vector in embeddings.vectors] == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        pytest.param([], "data: does not have one vector", id="nothing"),
        pytest.param([embedding(0, packed(1.0))], "data: does not have one", id="one too few"),
        pytest.param(
            [embedding(n, packed(1.0)) for n in range(3)], "data: does not", id="one too many"
        ),
        pytest.param([embedding(0, packed(1.0))] * 2, "data: does not have", id="one twice"),
        pytest.param(
            [embedding(n, packed(1.0)) for n in (1, 2)], "data: does not", id="another text's"
        ),
        pytest.param(
            [embedding(0, packed(1.0)), embedding(1, packed(1.0, 1.0))],
            "data: has vectors of different lengths",
            id="different lengths",
        ),
        pytest.param(
            [embedding(n, "") for n in range(2)], r"data\[0\].embedding: is empty", id="empty"
        ),
        pytest.param(
            [embedding(n, []) for n in range(2)], r"data\[0\].embedding: is empty", id="empty lists"
        ),
    ],
)
async def test_vectors_that_are_not_one_for_each_text_are_malformed(
    data: list[JSONObject], what: str
) -> None:
    with pytest.raises(MalformedAnswerError, match=f"openai sent a malformed answer: {what}"):
        await embedded(answer_with(*data))


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param("secret!", id="no base64"),
        pytest.param("!" + packed(1.0, 1.0), id="base64 and something else"),
        pytest.param("ümlaut", id="no ASCII"),
        pytest.param("AAAAAAA=", id="five bytes"),
        pytest.param(packed(math.nan, 1.0), id="not a number"),
        pytest.param(packed(-math.inf, 1.0), id="infinite"),
        pytest.param([1.0, math.inf], id="infinite in a list"),
        pytest.param([1.0, "secret"], id="a text in a list"),
        pytest.param([True, 1.0], id="true in a list"),
        pytest.param(None, id="null"),
    ],
)
async def test_a_vector_that_is_none_is_named_and_not_repeated(vector: object) -> None:
    answer = answer_with(embedding(0, packed(1.0, 1.0)), embedding(1, vector))
    with pytest.raises(
        MalformedAnswerError, match=r"malformed answer: data\[1\]\.embedding"
    ) as raised:
        await embedded(answer)
    assert "secret" not in raised.value.message


WRONG: dict[str, object] = {"null": None, "gone": ..., "a list": [], "negative": -1, "text": "x"}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    "path", ["object", "data.0.object", "data.0.index", "usage.prompt_tokens", "usage", "model"]
)
async def test_a_field_that_is_not_needed_does_not_cost_the_vectors(
    path: str, value: object
) -> None:
    answer: Any = copy.deepcopy(GOOD)
    place: Any = answer
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        place = place[part]
    place[last] = value
    if value is ...:
        del place[last]
    embeddings = await embedded(answer)
    assert [list(vector) for vector in embeddings.vectors] == [[0.5, -1.0], [0.0, 0.25]]
    assert embeddings.model in {"our-model", "our-model-2026", "x"}


async def test_vectors_without_an_index_are_in_the_order_of_the_texts() -> None:
    answer = answer_with({"embedding": [1]}, {"embedding": [2.0]})
    assert [list(vector) for vector in (await embedded(answer)).vectors] == [[1.0], [2.0]]


async def test_an_error_in_an_answer_with_status_200_is_raised() -> None:
    with pytest.raises(RateLimitError, match="reported 429: Slow down"):
        await embedded({"error": {"message": "Slow down", "code": 429}})


async def test_vectors_that_cannot_be_read_cost_their_usage() -> None:
    receipt = Receipt()
    with pytest.raises(MalformedAnswerError):
        await Upstream(answer_with()).embed(replace(TEXTS, receipt=receipt))
    assert receipt.broken_off is not None
    assert receipt.broken_off.usage == Usage(prompt_tokens=5, completion_tokens=0, total_tokens=5)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0}], ids=repr)
async def test_embeddings_without_usage_cost_one_warning(usage: object) -> None:
    with captured_logs() as logs:
        assert (await embedded({**GOOD, "usage": usage})).prompt_tokens == 0
    assert len(logs.events("llm.usage_missing")) == 1


async def test_a_provider_without_embeddings_is_passed_over() -> None:
    transport = httpx.MockTransport(Upstream(GOOD))
    async with open_connections(HTTPPolicy(), transport) as connections:
        chat_only = AnthropicChat(ProviderPolicy("http://provider.test", "m"), connections)
        chain = Fallback([chat_only, OpenAI(POLICY, connections)])
        assert (await chain.embed(TEXTS)).model == "our-model-2026"
        with pytest.raises(UnsupportedRequestError, match="configured are: anthropic"):
            await Fallback([chat_only]).embed(TEXTS)
