"""The configuration of the service: all values that differ between deployments.

An environment variable has the name of its field's path: `RETRY_MAX_ATTEMPTS` sets
`settings.retry.max_attempts`; `RETRY__MAX_ATTEMPTS` is the same. `.env.example` lists all of them.
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

from app import network
from app.clients.policy import ClientPolicy, OneClient
from app.configuration import provider_rules, redis_rules, rules, sources
from app.configuration.providers import BUILT_IN
from app.configuration.refusal import problems, refuse
from app.configuration.secrets.policy import AWSPolicy, GooglePolicy, SecretsPolicy, VaultPolicy
from app.configuration.text_file import SourceError
from app.features.jobs.policy import JobsPolicy  # feature: jobs
from app.llm.guards.cached import CachePolicy
from app.llm.http import HTTPPolicy
from app.llm.price_files import readable
from app.llm.providers.anthropic.policy import AnthropicPolicy
from app.llm.providers.openai.policy import OpenAIPolicy
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.presets import PRESETS
from app.llm.transports.pool import TransportName
from app.project import project_name
from app.rag.policy import DocumentsPolicy, DocumentsSettings  # feature: ask
from app.resilience.bulkhead import QueuePolicy
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.hedge import HedgePolicy
from app.resilience.rate_limit import RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.telemetry.logging import LogPolicy

Host = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9.:_-]+$")]
# Braces would change the hash tag of keys in a cluster, and a `*` is a wildcard in ACL patterns.
RedisPrefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
AppEnv = Annotated[Literal["dev", "staging", "prod"], BeforeValidator(rules.lower)]


# The default deadline of all attempts, as a multiple of one attempt's timeout; and the largest
# share of a deadline that one attempt may take.
_DEADLINE_RATIO = 1.5
_ATTEMPT_SHARE = 0.9

# Within it Kubernetes and cloud load balancers have taken a stopping instance out of their lists.
_SHUTDOWN_DELAY_S = 5.0

# Twice the memory of the largest body, or a legal request would never be accepted.
_MIN_BYTES_IN_FLIGHT = 32 * 1024 * 1024


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=(),  # `app.configuration` reads `.env`; `_env_file=None` disables that
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,  # otherwise an error message repeats a mistyped key
        extra="forbid",  # for mistyped keys of a YAML file; other variables are filtered out before
        frozen=True,
    )

    # The validators for prod need these three, so they must stay above the validated fields.
    app_env: AppEnv = "dev"
    providers: dict[str, ProviderPolicy] = {}
    llm_providers: Annotated[tuple[str, ...], NoDecode] = ("openai", "anthropic")

    host: Host = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = 8000
    keep_alive_s: Annotated[int, Ge(1), Le(3600)] = 75
    shutdown_delay_s: Annotated[float, Ge(0), Le(300)] | None = None
    shutdown_grace_s: Annotated[int, Ge(1), Le(600)] = 25
    max_connections_per_address: Annotated[int, Ge(1), Le(2000)] = 1000
    max_bytes_in_flight: Annotated[int, Ge(_MIN_BYTES_IN_FLIGHT), Le(2**40)] = 256 * 1024 * 1024
    debug_mode: bool = False
    debug_port: Annotated[int, Ge(1), Le(65535)] | None = None
    log: LogPolicy = LogPolicy()
    enable_tracing: bool = False

    # Without configuration the service calls the mock API, which implements both APIs.
    openai: OpenAIPolicy = OpenAIPolicy(base_url="http://127.0.0.1:9000/v1", model="gpt-5-mini")
    anthropic: ProviderPolicy = AnthropicPolicy(
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
    stream_silence_timeout_s: Annotated[float, Gt(0), Le(3600)] = 120.0
    max_concurrency: Annotated[int, Ge(1), Le(10_000)] = 100
    queue: QueuePolicy = QueuePolicy()
    http_transport: TransportName = "aiohttp"

    enable_caching: bool = True
    cache: CachePolicy = CachePolicy()
    redis_url: Annotated[SecretStr, AfterValidator(redis_rules.validate_redis_url)] | None = None
    redis_ca_file: Annotated[Path, AfterValidator(redis_rules.validate_redis_ca)] | None = None
    redis_cert_file: Annotated[Path, AfterValidator(redis_rules.validate_redis_file)] | None = None
    redis_key_file: Path | None = None
    redis_prefix: RedisPrefix | None = None
    jobs: JobsPolicy = JobsPolicy()  # feature: jobs
    documents: DocumentsSettings = DocumentsPolicy()  # feature: ask

    client: ClientPolicy = ClientPolicy()
    clients: dict[str, OneClient] = {}
    max_tokens_limit: Annotated[int, Ge(1), Le(1_000_000)] | None = None
    allowed_models: Annotated[
        tuple[str, ...] | None, NoDecode, BeforeValidator(rules.split_models)
    ] = None
    cors_origins: Annotated[
        tuple[str, ...] | None, NoDecode, BeforeValidator(rules.split_origins)
    ] = None
    admin_port: Annotated[int, Ge(1), Le(65535)] | None = None
    workers: Annotated[int, Ge(1), Le(64)] = 1

    # Settings that say where to read other settings: see `app.configuration.sources`.
    config_file: Annotated[str, AfterValidator(rules.validate_config_file)] = rules.CONFIG_FILE
    secrets: SecretsPolicy = SecretsPolicy()
    aws: AWSPolicy = AWSPolicy()
    google: GooglePolicy = GooglePolicy()
    vault: VaultPolicy = VaultPolicy()

    _split_at_commas = field_validator("llm_providers", mode="before")(
        provider_rules.split_at_commas
    )
    _validate_unique = field_validator("llm_providers")(provider_rules.validate_unique)
    _complete_providers = field_validator("providers", mode="before")(
        provider_rules.complete_providers
    )
    _validate_providers = field_validator("providers")(provider_rules.validate_providers)
    _validate_defined = field_validator("llm_providers")(provider_rules.validate_defined)
    _validate_packages = field_validator("llm_providers")(provider_rules.validate_packages)
    _validate_tracing = field_validator("enable_tracing")(rules.validate_tracing)
    _validate_off_in_prod = field_validator("debug_mode")(rules.validate_off_in_prod)
    _validate_debug_port = field_validator("debug_port")(rules.validate_debug_port)
    _validate_redis_key = field_validator("redis_key_file")(redis_rules.validate_redis_key)
    _validate_temperature = field_validator("temperature")(provider_rules.validate_temperature)
    _tidy_provider = field_validator("openai", "anthropic", mode="before")(
        provider_rules.tidy_provider
    )
    _validate_provider = field_validator("openai", "anthropic")(provider_rules.validate_provider)
    _validate_client_keys = field_validator("client")(rules.validate_client_keys)
    _tidy_clients = field_validator("clients", mode="before")(rules.tidy_clients)
    _validate_clients = field_validator("clients")(rules.validate_clients)
    _validate_rate_limit = field_validator("rate_limit")(rules.validate_rate_limit)
    _validate_ceiling = field_validator("max_tokens_limit")(rules.validate_max_tokens_limit)
    _validate_admin_port = field_validator("admin_port")(rules.validate_admin_port)
    _validate_workers = field_validator("workers")(rules.validate_workers)

    def provider(self, name: str) -> ProviderPolicy:
        """The settings of one provider, with the sampling parameters that all providers share."""
        return replace(
            self._policy(name),
            name=name,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
        )

    def _policy(self, name: str) -> ProviderPolicy:
        if (vendor := BUILT_IN.get(name)) is None:
            return self.providers.get(name) or replace(PRESETS[name], vendor=name)
        policy: ProviderPolicy = getattr(self, vendor)
        return replace(policy, api=name, vendor=vendor)

    @property
    def previews(self) -> bool:
        """Whether logs and spans may show the beginning of questions and answers."""
        return self.log.previews or self.debug_mode

    @property
    def http(self) -> HTTPPolicy:
        return HTTPPolicy(
            request_timeout_s=self._in_time(self.request_timeout_s),
            stream_chunk_timeout_s=self.stream_chunk_timeout_s,
            stream_first_chunk_timeout_s=self._in_time(self._first_chunk_timeout_s),
            stream_silence_timeout_s=self.stream_silence_timeout_s,
            stream_open_timeout_s=self._in_time(math.inf),
            max_concurrency=self.max_concurrency,
            queue=self.queue,
            weights={name: own.weight for name, own in self.clients.items() if own.weight},
            transport=self.http_transport,
        )

    @property
    def delay_of_shutdown_s(self) -> float:
        """In dev no load balancer has to notice that the service stops."""
        if self.shutdown_delay_s is not None:
            return self.shutdown_delay_s
        return 0.0 if self.app_env == "dev" else _SHUTDOWN_DELAY_S

    @property
    def redis_address(self) -> str:
        """`REDIS_URL` with the files for TLS as options. Only with a `REDIS_URL`."""
        assert self.redis_url is not None  # noqa: S101 - for mypy
        files = {
            "ssl_ca_certs": self.redis_ca_file,
            "ssl_certfile": self.redis_cert_file,
            "ssl_keyfile": self.redis_key_file,
        }
        return redis_rules.with_files(self.redis_url.get_secret_value(), files)

    @property
    def redis_key_prefix(self) -> str:
        return self.redis_prefix or f"{project_name()}:{self.app_env}"

    @property
    def retrying(self) -> RetryPolicy:
        """The retry policy. Default deadline: 1.5 x the longest allowed attempt."""
        if self.retry.deadline_s is not None:
            return self.retry
        longest_s = max(self.request_timeout_s, self._first_chunk_timeout_s)
        return replace(self.retry, deadline_s=longest_s * _DEADLINE_RATIO)

    @property
    def _first_chunk_timeout_s(self) -> float:
        return self.stream_first_chunk_timeout_s or self.stream_chunk_timeout_s

    def _in_time(self, attempt_s: float) -> float:
        """Cap an attempt's timeout below the overall retry deadline.

        If the deadline cancels an attempt, the breaker sees a cancellation instead of a timeout and
        never opens.
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
        del env_settings, file_secret_settings  # our own layers read them and remember the source
        dotenv = None if getattr(dotenv_settings, "env_file", None) is None else sources.DOTENV
        return tuple(sources.layers(settings_cls, init_settings(), dotenv))


def load() -> Settings:
    """Read the settings of this process, or end the process with a list of all errors in them."""
    if wrong := network.unusable():  # checked before a secrets manager is called
        refuse(wrong)
    try:
        settings = Settings()
    except ValidationError as error:
        refuse(problems(error, Settings, sources.layers(Settings)))
    except SourceError as error:
        refuse([str(error)])
    network.bypass_proxies(settings.model_dump())
    return settings
