"""Providers that speak through their vendors' own clients. They come with the extra `sdk`.

Each is imported when it is chosen: who does not name it in `LLM_PROVIDERS` need not have it. A call
costs about a millisecond of CPU, five times what it costs our own clients, and the import seconds.
"""

from app.llm.http import Connections
from app.llm.model import Provider
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.sdk.named import Named


def openai_sdk(policy: ProviderPolicy, connections: Connections) -> Provider:
    from app.llm.providers.sdk.openai import OpenAISDK  # noqa: PLC0415 - see above

    return Named("openai-sdk", OpenAISDK(policy, connections))


def anthropic_sdk(policy: ProviderPolicy, connections: Connections) -> Provider:
    from app.llm.providers.sdk.anthropic import AnthropicSDK  # noqa: PLC0415 - see above

    return Named("anthropic-sdk", AnthropicSDK(policy, connections))
