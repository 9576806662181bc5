"""Providers that speak through their vendors' own clients. They come with the extra `sdk`.

Each is imported when `LLM_PROVIDERS` names it, and need not be installed otherwise. A call
costs about a millisecond of CPU, five times what it costs our own clients, and the import seconds.
"""

from app.llm.http import Connections
from app.llm.model import Provider
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.renamed import Renamed


def openai_sdk(policy: ProviderPolicy, connections: Connections) -> Provider:
    from app.llm.providers.sdk.openai import OpenAISDK  # noqa: PLC0415 - see above

    return Renamed(policy.name or OpenAISDK.name, OpenAISDK(policy, connections), "openai")


def anthropic_sdk(policy: ProviderPolicy, connections: Connections) -> Provider:
    from app.llm.providers.sdk.anthropic import AnthropicSDK  # noqa: PLC0415 - see above

    return Renamed(policy.name or AnthropicSDK.name, AnthropicSDK(policy, connections), "anthropic")
