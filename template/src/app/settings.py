"""The service's configuration: every value that differs between two deployments, and nothing else.

The name of an environment variable is the path of its field: `RETRY_MAX_ATTEMPTS` is
`settings.retry.max_attempts`; `RETRY__MAX_ATTEMPTS` means the same. `.env.example` lists them all.
"""

from dataclasses import replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BeforeValidator,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from app.configuration import rules, sources
from app.configuration.refusal import problems, refuse
from app.llm.http import HTTPPolicy
from app.llm.providers.policy import ProviderPolicy
from app.resilience.retry import RetryPolicy
from app.telemetry.logging import LogPolicy

ProviderName = Literal["openai", "anthropic", "openai-sdk", "anthropic-sdk"]

Host = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9.:_-]+$")]
AppEnv = Annotated[Literal["dev", "staging", "prod"], BeforeValidator(rules.lower)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_file=".env",
        env_ignore_empty=True,
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,  # otherwise an error message repeats a mistyped key
        extra="ignore",
        frozen=True,
    )

    # Rules of prod read `app_env` and `llm_providers`: these two stay above the fields they rule.
    app_env: AppEnv = "dev"
    llm_providers: Annotated[tuple[ProviderName, ...], NoDecode] = ("openai", "anthropic")

    host: Host = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = 8000
    debug_mode: bool = False
    log: LogPolicy = LogPolicy()

    # Without any configuration the service talks to the mock API, which speaks both languages.
    openai: ProviderPolicy = ProviderPolicy(base_url="http://127.0.0.1:9000/v1", model="gpt-5-mini")
    anthropic: ProviderPolicy = ProviderPolicy(
        base_url="http://127.0.0.1:9000", model="claude-haiku-4-5"
    )
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    max_tokens: Annotated[int, Ge(1), Le(1_000_000)] = 1024

    retry: RetryPolicy = RetryPolicy()
    request_timeout_s: Annotated[float, Gt(0), Le(600)] = 60.0
    stream_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] = 30.0
    max_concurrency: Annotated[int, Ge(1), Le(10_000)] = 100

    enable_caching: bool = True
    redis_url: Annotated[SecretStr, AfterValidator(rules.redis_url)] | None = None

    _split_at_commas = field_validator("llm_providers", mode="before")(rules.split_at_commas)
    _each_provider_once = field_validator("llm_providers")(rules.each_provider_once)
    _installed = field_validator("llm_providers")(rules.installed)
    _off_in_prod = field_validator("debug_mode")(rules.off_in_prod)
    _trimmed = field_validator("openai", "anthropic", mode="before")(rules.trimmed)
    _usable = field_validator("openai", "anthropic")(rules.usable)

    def provider(self, name: ProviderName) -> ProviderPolicy:
        """Add to the policy of one provider the sampling parameters that all of them share."""
        policy: ProviderPolicy = getattr(self, rules.settings_of(name))
        return replace(policy, temperature=self.temperature, max_tokens=self.max_tokens)

    @property
    def http(self) -> HTTPPolicy:
        return HTTPPolicy(
            request_timeout_s=self.request_timeout_s,
            stream_chunk_timeout_s=self.stream_chunk_timeout_s,
            max_concurrency=self.max_concurrency,
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return sources.in_order(
            settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        )


def load() -> Settings:
    """Read the settings of this process, or end it with everything that is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        refuse(problems(error))
    except SettingsError as error:  # a variable named like a group of them: `LOG=debug`
        name = str(error).partition('"')[2].partition('"')[0].upper()
        refuse([f"{name}: is no variable of its own; the ones meant are {name}_…"])
