"""FastAPI and LiteLLM, as their tutorials show them. LiteLLM is measured only if it is installed."""

from importlib import import_module
from typing import Any

from scripts.bench.servers.serving import UPSTREAM, serve
from scripts.bench.servers.tutorial import application

_litellm: Any = import_module("litellm")  # no dependency of this project


async def ask(messages: list[Any], *, stream: bool) -> Any:  # noqa: ANN401 - an answer or a stream
    return await _litellm.acompletion(
        model="openai/gpt-5-mini",
        messages=messages,
        stream=stream,
        api_base=UPSTREAM,
        api_key="bench",
    )


if __name__ == "__main__":
    serve(application(ask))
