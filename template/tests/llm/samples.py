"""Answers of the two providers, byte by byte, and the one response that they all mean."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.llm.http import Connections
from app.llm.model import ChatModel, Model, Provider
from app.llm.providers.anthropic.client import AnthropicChat
from app.llm.providers.anthropic.policy import AnthropicPolicy
from app.llm.providers.openai.client import OpenAI
from app.llm.providers.openai.policy import OpenAIPolicy
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.sdk import anthropic_sdk, openai_sdk
from app.llm.types import ChatRequest, LLMResponse, Message, Usage

JSONObject = dict[str, object]

REQUEST = ChatRequest(
    (Message("system", "Be brief."), Message("user", "Where is the Zugspitze?")),
    temperature=0.5,
)
PIECES = ["Die Zugspitze ", "liegt in ", "Bayern 🏔", "."]
TEXT = "".join(PIECES)


@dataclass(frozen=True)
class Sample:
    name: str
    make: Callable[[ProviderPolicy, Connections], Provider]
    answer: JSONObject
    events: tuple[tuple[str, JSONObject | str], ...]
    response: LLMResponse
    policy: type[ProviderPolicy] = OpenAIPolicy

    @property
    def mock_path(self) -> str:
        """The path of this API in the mock API."""
        return "/v1" if self.name.startswith("openai") else ""

    @property
    def body(self) -> bytes:
        return json.dumps(self.answer).encode()

    @property
    def frames(self) -> list[bytes]:
        return [frame(name, data) for name, data in self.events]

    @property
    def stream(self) -> bytes:
        return b"".join(self.frames)

    @property
    def silent(self) -> int:
        """The number of events before the first text."""
        return next(i for i, frame in enumerate(self.frames) if PIECES[0].encode() in frame)

    @property
    def finish(self) -> int:
        """The number of the event that says why the model stopped. After it the answer is whole."""
        return next(
            number
            for number, (_, data) in enumerate(self.events)
            if isinstance(data, dict)
            and ('_reason": "stop"' in json.dumps(data) or "end_turn" in json.dumps(data))
        )

    def model(self, connections: Connections, base_url: str = "http://provider.test/v1") -> Model:
        return self.make(self.policy(base_url, model=f"{self.name}-model"), connections)

    def with_events(self, *events: tuple[str, JSONObject | str]) -> "Sample":
        return replace(self, events=events)


async def ask(model: ChatModel, request: ChatRequest = REQUEST, *, stream: bool) -> None:
    if stream:
        async for _ in model.stream(request):
            pass
    else:
        await model.complete(request)


def frame(name: str, data: JSONObject | str) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def _response(name: str, *, cached: int = 0, written: int = 0) -> LLMResponse:
    return LLMResponse(
        id=f"{name}-1",
        provider=name,
        model=f"{name}-model-2026",
        content=TEXT,
        finish_reason="stop",
        usage=Usage(
            prompt_tokens=20,
            completion_tokens=9,
            total_tokens=29,
            cached_prompt_tokens=cached,
            cache_write_tokens=written,
        ),
    )


_OPENAI_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


def _chunk(choices: list[JSONObject], usage: JSONObject | None = None) -> tuple[str, JSONObject]:
    chunk: JSONObject = {
        "id": "openai-1",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": "openai-model-2026",
        "choices": choices,
        "usage": usage,
        "obfuscation": "x7",
    }
    return "", chunk


def openai_delta(delta: JSONObject, finish_reason: str | None = None) -> tuple[str, JSONObject]:
    return _chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


OPENAI_USAGE_CHUNK = _chunk([], _OPENAI_USAGE)
OPENAI_DONE = ("", "[DONE]")

OPENAI = Sample(
    name="openai",
    make=OpenAI,
    answer={
        "id": "openai-1",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": "openai-model-2026",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _OPENAI_USAGE,
        "service_tier": "default",
    },
    events=(
        openai_delta({"role": "assistant", "content": "", "refusal": None}),
        *(openai_delta({"content": piece}) for piece in PIECES),
        openai_delta({}, "stop"),
        OPENAI_USAGE_CHUNK,
        OPENAI_DONE,
    ),
    response=_response("openai", cached=8),
)


def _typed(kind: str, **fields: object) -> tuple[str, JSONObject]:
    return kind, {"type": kind, **fields}


def _message(content: list[JSONObject], stop_reason: str | None, output_tokens: int) -> JSONObject:
    return {
        "id": "anthropic-1",
        "type": "message",
        "role": "assistant",
        "model": "anthropic-model-2026",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 12,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 5,
            "output_tokens": output_tokens,
            "service_tier": "standard",
        },
    }


def anthropic_text(text: str) -> tuple[str, JSONObject]:
    return _typed("content_block_delta", index=1, delta={"type": "text_delta", "text": text})


ANTHROPIC_START = _typed("message_start", message=_message([], None, 1))
ANTHROPIC_STOP = _typed("message_stop")


def anthropic_end(stop_reason: str | None) -> tuple[str, JSONObject]:
    return _typed(
        "message_delta",
        delta={"stop_reason": stop_reason, "stop_sequence": None},
        usage={"output_tokens": 9},
    )


ANTHROPIC = Sample(
    name="anthropic",
    make=AnthropicChat,
    answer=_message(
        [
            {"type": "thinking", "thinking": "A mountain.", "signature": "c2ln"},
            {"type": "text", "text": TEXT[:10], "citations": None},
            {"type": "a_block_of_the_future", "text": "not for us"},
            {"type": "text", "text": TEXT[10:]},
        ],
        "end_turn",
        9,
    ),
    events=(
        ANTHROPIC_START,
        _typed("ping"),
        _typed(
            "content_block_start",
            index=0,
            content_block={"type": "thinking", "thinking": "", "signature": ""},
        ),
        _typed("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "A"}),
        _typed("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c"}),
        _typed("content_block_stop", index=0),
        _typed("content_block_start", index=1, content_block={"type": "text", "text": ""}),
        *(anthropic_text(piece) for piece in PIECES),
        _typed("content_block_delta", index=1, delta={"type": "delta_of_the_future", "text": 1}),
        _typed("content_block_stop", index=1),
        _typed("event_of_the_future", index="?"),
        anthropic_end("end_turn"),
        ANTHROPIC_STOP,
    ),
    response=_response("anthropic", cached=5, written=3),
    policy=AnthropicPolicy,
)


def _by_sdk(sample: Sample, make: Callable[[ProviderPolicy, Connections], Provider]) -> Sample:
    """The same bytes mean the same to the vendor's own client."""
    name = f"{sample.name}-sdk"
    response = sample.response.model_copy(update={"provider": name})
    return replace(sample, name=name, make=make, response=response)


OPENAI_SDK = _by_sdk(OPENAI, openai_sdk)
ANTHROPIC_SDK = _by_sdk(ANTHROPIC, anthropic_sdk)

SAMPLES = [OPENAI, ANTHROPIC, OPENAI_SDK, ANTHROPIC_SDK]
