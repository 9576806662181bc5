"""The languages that providers speak. A new one is a directory beside this file and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.llm.batch import BatchAPI
from app.llm.http import Connections
from app.llm.model import Provider
from app.llm.providers.anthropic.batch import AnthropicBatches
from app.llm.providers.anthropic.client import AnthropicChat
from app.llm.providers.anthropic.policy import FACTS as ANTHROPIC
from app.llm.providers.openai.batch import OpenAIBatches
from app.llm.providers.openai.client import OpenAI
from app.llm.providers.policy import Facts, ProviderPolicy
from app.llm.providers.renamed import Renamed
from app.llm.providers.sdk import anthropic_sdk, openai_sdk

_COMMON = frozenset(
    {
        "json_mode",
        "tools",
        "images",
        "max_temperature",
        "key_header",
        "key_required",
        "retries",
        "deadline_header",
    }
)
_OPENAI_FACTS = Facts()
_OPENAI = _COMMON | {"embedding_model", "max_tokens_field", "stream_options", "embedding_encoding"}
_OPENAI_PATHS = ("/chat/completions",)
_ANTHROPIC_PATHS = ("/v1/messages", "/v1")


@dataclass(frozen=True, slots=True)
class API:
    """A language: its client, what its vendor's server is like, and the settings that it reads.

    `paths` are parts of the address that the client adds itself: vendors' pages show addresses with
    them, and they are taken off. `package` has to be installed. `batches` are those of the same vendor.
    """

    client: Callable[[ProviderPolicy, Connections], Provider]
    facts: Facts = _OPENAI_FACTS
    settings: frozenset[str] = _COMMON
    paths: tuple[str, ...] = ()
    package: str | None = None
    batches: Callable[[ProviderPolicy, Connections], BatchAPI] | None = None


APIS: Mapping[str, API] = {
    "openai": API(OpenAI, settings=_OPENAI, paths=_OPENAI_PATHS, batches=OpenAIBatches),
    "anthropic": API(AnthropicChat, ANTHROPIC, paths=_ANTHROPIC_PATHS, batches=AnthropicBatches),
    "openai-sdk": API(
        openai_sdk,
        settings=_OPENAI,
        paths=_OPENAI_PATHS,
        package="openai",
        batches=OpenAIBatches,
    ),
    "anthropic-sdk": API(
        anthropic_sdk,
        ANTHROPIC,
        paths=_ANTHROPIC_PATHS,
        package="anthropic",
        batches=AnthropicBatches,
    ),
}


def client_of(policy: ProviderPolicy, connections: Connections) -> Provider:
    """The client of the provider's language, under the provider's own name."""
    client = APIS[policy.api].client(policy, connections)
    return client if client.name == policy.name else Renamed(policy.name, client, client.name)
