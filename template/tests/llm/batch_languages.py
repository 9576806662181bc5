"""The batches of both providers, for tests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from app.llm.batch import BatchAPI
from app.llm.http import Connections
from app.llm.providers.anthropic.batch import AnthropicBatches
from app.llm.providers.openai.batch import OpenAIBatches
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.registry import APIS
from app.llm.types import ChatRequest, Message


@dataclass(frozen=True)
class Language:
    make: Callable[[ProviderPolicy, Connections], BatchAPI]
    name: str
    model: str
    root: str  # in the mock API
    path: str  # of its batches

    def api(self, url: str, connections: Connections, key: str = "sk-1234") -> BatchAPI:
        facts, name = APIS[self.name].facts, self.name
        policy = ProviderPolicy(
            url + self.root, self.model, SecretStr(key), api=name, name=name, facts=facts
        )
        return self.make(policy, connections)


OPENAI = Language(OpenAIBatches, "openai", "gpt-5-mini", "/v1", "/v1/batches")
ANTHROPIC = Language(AnthropicBatches, "anthropic", "claude-haiku-4-5", "", "/v1/messages/batches")
LANGUAGES = pytest.mark.parametrize(
    "language", [OPENAI, ANTHROPIC], ids=lambda language: language.name
)


def question(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", text)), **fields)
