"""The service's configuration: every value that differs between two deployments, and nothing else.

The name of an environment variable is the path of its field: `RETRY_MAX_ATTEMPTS` is
`settings.retry.max_attempts`; `RETRY__MAX_ATTEMPTS` means the same. `.env.example` lists them all.
"""

import math
from dataclasses import replace
from pathlib import Path
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
)

from app.configuration import rules, sources
from app.configuration.refusal import problems, refuse
from app.configuration.secrets.policy import AWSPolicy, GooglePolicy, SecretsPolicy, VaultPolicy
from app.configuration.unreadable import Unreadable
from app.llm.http import HTTPPolicy
from app.llm.prices import readable
from app.llm.providers.openai.policy import OpenAIPolicy
from app.llm.providers.policy import ProviderPolicy, vendor
from app.llm.wrappers.cached import CachePolicy
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.hedge import HedgePolicy
from app.resilience.rate_limit import RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.retrieval.policy import DocumentsPolicy
from app.telemetry.logging import LogPolicy

ProviderName = Literal["openai", "anthropic", "openai-sdk", "anthropic-sdk"]

Host = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9.:_-]+$")]
AppEnv = Annotated[Literal["dev", "staging", "prod"], BeforeValidator(rules.lower)]


# The deadline of all attempts, as a multiple of what one may take; and what one may take of it.
_DEADLINE_RATIO = 1.5
_ATTEMPT_SHARE = 0.9


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=sources.DOTENV,
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,  # otherwise an error message repeats a mistyped key
        extra="forbid",  # a mistyped key of a YAML file; other programs' variables never get here
        frozen=True,
    )

    # Rules of prod read `app_env` and `llm_providers`: these two stay above the fields they rule.
    app_env: AppEnv = "dev"
    llm_providers: Annotated[tuple[ProviderName, ...], NoDecode] = ("openai", "anthropic")

    host: Host = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = 8000
    debug_mode: bool = False
    log: LogPolicy = LogPolicy()
    enable_tracing: bool = False

    # Without any configuration the service talks to the mock API, which speaks both languages.
    openai: OpenAIPolicy = OpenAIPolicy(base_url="http://127.0.0.1:9000/v1", model="gpt-5-mini")
    anthropic: ProviderPolicy = ProviderPolicy(
        base_url="http://127.0.0.1:9000", model="claude-haiku-4-5"
    )
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    max_tokens: Annotated[int, Ge(1), Le(1_000_000)] = 1024
    prices_file: Annotated[Path, AfterValidator(readable)] | None = None

    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    hedge: HedgePolicy = HedgePolicy()
    health_probe_interval_s: Annotated[float, Ge(0), Le(3600)] = 30.0
    rate_limit: RateLimitPolicy = RateLimitPolicy()
    request_timeout_s: Annotated[float, Gt(0), Le(600)] = 60.0
    stream_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] = 30.0
    stream_first_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] | None = None
    max_concurrency: Annotated[int, Ge(1), Le(10_000)] = 100

    enable_caching: bool = True
    cache: CachePolicy = CachePolicy()
    redis_url: Annotated[SecretStr, AfterValidator(rules.redis_url)] | None = None

    documents: DocumentsPolicy = DocumentsPolicy()

    # Where other settings are read from: see `app.configuration.sources`.
    config_file: Annotated[str, AfterValidator(rules.there)] = rules.CONFIG_FILE
    secrets: SecretsPolicy = SecretsPolicy()
    aws: AWSPolicy = AWSPolicy()
    google: GooglePolicy = GooglePolicy()
    vault: VaultPolicy = VaultPolicy()

    _split_at_commas = field_validator("llm_providers", mode="before")(rules.split_at_commas)
    _each_provider_once = field_validator("llm_providers")(rules.each_provider_once)
    _installed = field_validator("llm_providers")(rules.installed)
    _traceable = field_validator("enable_tracing")(rules.traceable)
    _off_in_prod = field_validator("debug_mode")(rules.off_in_prod)
    _mild_enough = field_validator("temperature")(rules.mild_enough)
    _trimmed = field_validator("openai", "anthropic", mode="before")(rules.trimmed)
    _usable = field_validator("openai", "anthropic")(rules.usable)

    def provider(self, name: ProviderName) -> ProviderPolicy:
        """Add to the policy of one provider the sampling parameters that all of them share."""
        policy: ProviderPolicy = getattr(self, vendor(name))
        return replace(policy, temperature=self.temperature, max_tokens=self.max_tokens)

    @property
    def http(self) -> HTTPPolicy:
        return HTTPPolicy(
            request_timeout_s=self._in_time(self.request_timeout_s),
            stream_chunk_timeout_s=self.stream_chunk_timeout_s,
            stream_first_chunk_timeout_s=self._in_time(self._first_chunk_timeout_s),
            max_concurrency=self.max_concurrency,
        )

    @property
    def retrying(self) -> RetryPolicy:
        """Unless a deadline is given, it leaves the longest attempt half as long again."""
        if self.retry.deadline_s is not None:
            return self.retry
        longest_s = max(self.request_timeout_s, self._first_chunk_timeout_s)
        return replace(self.retry, deadline_s=longest_s * _DEADLINE_RATIO)

    @property
    def _first_chunk_timeout_s(self) -> float:
        return self.stream_first_chunk_timeout_s or self.stream_chunk_timeout_s

    def _in_time(self, attempt_s: float) -> float:
        """Let an attempt end before the deadline of all: one that is given up is no verdict.

        Otherwise a provider that hangs would never open its circuit.
        """
        deadline_s = self.retrying.deadline_s or math.inf
        return min(attempt_s, deadline_s * _ATTEMPT_SHARE)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, file_secret_settings  # read by our own layers, which remember where
        dotenv = getattr(dotenv_settings, "env_file", None)
        files = None if dotenv is None else Path(dotenv)
        return tuple(sources.layers(settings_cls, init_settings(), files))


def load() -> Settings:
    """Read the settings of this process, or end it with everything that is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        refuse(problems(error, Settings, sources.layers(Settings)))
    except Unreadable as error:
        refuse([str(error)])
