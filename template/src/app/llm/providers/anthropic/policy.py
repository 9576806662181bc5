from dataclasses import dataclass, field

from app.llm.providers.policy import NO_SETTING, Facts, ProviderPolicy

FACTS = Facts(max_temperature=1.0, key_header="x-api-key")


@dataclass(frozen=True, slots=True)
class AnthropicPolicy(ProviderPolicy):
    """Anthropic, or a server that speaks its language."""

    api: str = field(default="anthropic", metadata=NO_SETTING)
    facts: Facts = field(default=FACTS, metadata=NO_SETTING)
