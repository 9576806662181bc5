"""Providers that are known by name: their addresses and the facts about their servers.

An empty `base_url` or `model` has to be given in the settings. Sources and dates of the facts are in
a table of docs/providers.md, which a test compares with this module.
"""

from collections.abc import Mapping

from app.llm.providers.anthropic.policy import AnthropicPolicy
from app.llm.providers.openai.policy import OpenAIPolicy
from app.llm.providers.policy import Facts, ProviderPolicy

PRESETS: Mapping[str, ProviderPolicy] = {
    "openai": OpenAIPolicy("https://api.openai.com/v1", "gpt-5-mini"),
    "anthropic": AnthropicPolicy("https://api.anthropic.com", "claude-haiku-4-5"),
    # The deployment is the model. Its address is the resource's: …/openai/v1, or the older
    # …/openai/deployments/NAME?api-version=….
    "azure": ProviderPolicy("", "", facts=Facts(key_header="api-key")),
    # The OpenAI-compatible endpoint refuses unknown fields with 400.
    "gemini": ProviderPolicy(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "",
        embedding_model="gemini-embedding-001",
        facts=Facts(max_tokens_field="max_tokens", embedding_encoding="float", images="data"),
    ),
    # Refuses a form of the answer together with a stream, and structured answers are streamed here.
    "groq": ProviderPolicy("https://api.groq.com/openai/v1", "", facts=Facts(json_mode="none")),
    # No address: it runs in your network. It repeats failed calls itself (docs/gateways.md).
    "litellm": ProviderPolicy(
        "", "", facts=Facts(retries=False, deadline_header="x-litellm-timeout")
    ),
    # Refuses unknown fields with 422; counts the tokens of every stream without being asked.
    "mistral": ProviderPolicy(
        "https://api.mistral.ai/v1",
        "mistral-small-latest",
        embedding_model="mistral-embed",
        facts=Facts(
            max_tokens_field="max_tokens",
            stream_options=False,
            embedding_encoding="float",
            max_temperature=1.5,
        ),
    ),
    # Ignores `max_completion_tokens`: with it the length of an answer would have no limit.
    "ollama": ProviderPolicy(
        "http://127.0.0.1:11434/v1",
        "",
        facts=Facts(
            max_tokens_field="max_tokens",
            embedding_encoding="float",
            images="data",
            key_required=False,
        ),
    ),
    "openrouter": ProviderPolicy(
        "https://openrouter.ai/api/v1",
        "",
        facts=Facts(max_tokens_field="max_tokens", embedding_encoding="float"),
    ),
    # No address: vLLM's own default, port 8000, is this service's.
    "vllm": ProviderPolicy(
        "",
        "",
        facts=Facts(max_tokens_field="max_tokens", embedding_encoding="float", key_required=False),
    ),
}
