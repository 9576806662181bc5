"""OpenAI's interface, judged by the official SDK."""

import asyncio
import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from pydantic import BaseModel

from app.llm.types import ANY_OBJECT, AnswerSchema, ImagePart, Message, TextPart
from app.main import create_app
from app.resilience.rate_limit import RateLimitPolicy
from app.settings import Settings
from app.testing import CapturedLogs, FakeChatModel
from mock_api.application import create_app as create_mock
from tests import sdk
from tests.running_service import serving

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

HELLO: "list[ChatCompletionMessageParam]" = [{"role": "user", "content": "Hello!"}]
ASKED: "list[ChatCompletionMessageParam]" = [{"role": "user", "content": "clock and weather"}]
PNG = "data:image/png;base64,iVBORw0KGgo="


def tool(name: str) -> "ChatCompletionToolParam":
    schema: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = [tool("weather"), tool("clock")]
by_provider = pytest.mark.parametrize("model", ["auto", "openai", "anthropic", "openai/gpt-4o"])


@by_provider
async def test_a_question_is_answered(openai: "AsyncOpenAI", model: str) -> None:
    answer = await openai.chat.completions.create(model=model, messages=HELLO)
    (choice,) = answer.choices
    assert "Hello!" in (choice.message.content or "")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert answer.id.startswith("chatcmpl-")
    if "/" in model:
        assert answer.model == "gpt-4o"


@by_provider
async def test_a_stream_has_the_text_and_the_usage(openai: "AsyncOpenAI", model: str) -> None:
    stream = await openai.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Hello!" in text
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_a_stream_ends_with_done(api: httpx2.AsyncClient) -> None:
    body = {"model": "auto", "messages": HELLO, "stream": True}
    answer = await api.post("/openai/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert '"usage"' not in answer.text


@pytest.mark.parametrize("model", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_parallel_tool_calls_make_a_round_trip(
    openai: "AsyncOpenAI", model: str, *, stream: bool
) -> None:
    if stream:
        async with openai.chat.completions.stream(
            model=model, messages=ASKED, tools=TOOLS
        ) as events:
            choice = (await events.get_final_completion()).choices[0].model_dump(exclude_none=True)
    else:
        answer = await openai.chat.completions.create(model=model, messages=ASKED, tools=TOOLS)
        choice = answer.choices[0].model_dump(exclude_none=True)
    assert choice["finish_reason"] == "tool_calls"
    calls = choice["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["weather", "clock"]
    assert "city" in json.loads(calls[0]["function"]["arguments"])
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"{call['function']['name']}!"}
        for call in calls
    ]
    messages = [*ASKED, choice["message"], *results]
    second = await openai.chat.completions.create(
        model=model,
        messages=messages,
        tools=TOOLS,
    )
    assert "clock!" in (second.choices[0].message.content or "")


async def test_everything_that_was_asked_reaches_the_model(
    openai_of_fake: "AsyncOpenAI", model: FakeChatModel
) -> None:
    await openai_of_fake.chat.completions.create(
        model="anthropic/claude-x",
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {
                "role": "user",
                "name": "Ann",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                ],
            },
        ],
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        stop="END",
        response_format={"type": "json_object"},
        seed=1,
        user="ignored",
    )
    (asked,) = model.requests
    assert asked.messages == (
        Message("system", "Be brief."),
        Message("user", (TextPart("What?"), ImagePart(PNG, "low"))),
    )
    assert (asked.provider, asked.model) == ("anthropic", "claude-x")
    assert (asked.max_tokens, asked.temperature, asked.top_p) == (7, 0.5, 0.9)
    assert (asked.stop, asked.answer_schema) == (("END",), ANY_OBJECT)


class City(BaseModel):
    name: str
    people: int


async def test_a_schema_of_the_answer_is_parsed_by_the_sdk(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.parse(model="auto", messages=HELLO, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)


async def test_a_schema_that_is_not_strict_stays_so(
    openai_of_fake: "AsyncOpenAI", model: FakeChatModel
) -> None:
    await openai_of_fake.chat.completions.create(
        model="auto",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"x": 1}}},
    )
    assert model.requests[0].answer_schema == AnswerSchema("a", {"x": 1}, strict=False)


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
async def test_texts_become_vectors_in_every_encoding(
    openai: "AsyncOpenAI", api: httpx2.AsyncClient, encoding: str | None
) -> None:
    """Without an encoding the SDK asks for base64 and decodes it."""
    texts = ["The Zugspitze", "A mountain"]
    expected = (await api.post("/v1/embeddings", json={"texts": texts})).json()
    options = {} if encoding is None else {"encoding_format": encoding}
    answer = await openai.embeddings.create(model="auto", input=texts, **options)  # type: ignore[arg-type]
    if encoding != "base64":
        found = [item.embedding for item in answer.data]
        wanted = [item["embedding"] for item in expected["items"]]
        assert found == [pytest.approx(vector, abs=1e-6) for vector in wanted]
    assert [item.index for item in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens > 0


async def test_the_models_are_listed_and_each_can_be_asked(openai: "AsyncOpenAI") -> None:
    names = [model.id async for model in openai.models.list()]
    assert names[0] == "auto"
    assert "openai/gpt-5-mini" in names
    for name in names:
        assert (await openai.models.retrieve(name)).id == name


async def test_an_answer_comes_from_the_cache_and_the_call_is_in_the_log(
    openai: "AsyncOpenAI", logs: CapturedLogs
) -> None:
    for cached in (False, True):
        answer = await openai.chat.completions.create(model="auto", messages=HELLO)
        assert answer.model_extra is not None
        assert (answer.model_extra["cached"], answer.model_extra["provider"]) == (cached, "openai")
    assert [line["outcome"] for line in logs.events("llm.call")] == ["ok", "cached"]
    routes = {line["route"] for line in logs.events("http.request")}
    assert routes == {"/openai/v1/chat/completions"}


@pytest.mark.slow
async def test_two_hundred_callers_at_once_get_their_own_answers() -> None:
    settings = Settings(rate_limit=RateLimitPolicy(requests_per_minute=60_000, burst=1_000))
    app = create_app(settings, transport=httpx2.ASGITransport(create_mock()))
    async with serving(app) as (_, url):
        client = sdk.openai.AsyncOpenAI(base_url=f"{url}/openai/v1", api_key="x", max_retries=0)

        async def ask(number: int) -> str:
            messages: list[ChatCompletionMessageParam] = [
                {"role": "user", "content": f"Number {number}."}
            ]
            if number % 2:
                answer = await client.chat.completions.create(model="auto", messages=messages)
                return answer.choices[0].message.content or ""
            stream = await client.chat.completions.create(
                model="auto", messages=messages, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        async with client:
            texts = await asyncio.gather(*map(ask, range(200)))
    assert all(f'"Number {number}."' in text for number, text in enumerate(texts))
