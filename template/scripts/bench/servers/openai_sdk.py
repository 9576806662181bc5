"""FastAPI and the OpenAI SDK, as their tutorials show them: no guards, logs or metrics."""

from typing import Any

from openai import AsyncOpenAI

from scripts.bench.servers.serving import UPSTREAM, serve
from scripts.bench.servers.tutorial import application

_client = AsyncOpenAI(api_key="bench", base_url=UPSTREAM)


async def ask(messages: list[Any], *, stream: bool) -> Any:  # noqa: ANN401 - an answer or a stream
    return await _client.chat.completions.create(
        model="gpt-5-mini", messages=messages, stream=stream
    )


if __name__ == "__main__":
    serve(application(ask))
