"""The service's configuration: every value that differs between two deployments, and nothing else.

The name of an environment variable is the path of its field: `RETRY_MAX_ATTEMPTS` is
`settings.retry.max_attempts`; `RETRY__MAX_ATTEMPTS` means the same. `.env.example` lists them all.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NoReturn
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BeforeValidator,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from app.llm.http import HTTPPolicy
from app.llm.prices import readable
from app.llm.providers.policy import ProviderPolicy
from app.resilience.retry import RetryPolicy
from app.telemetry.logging import LogPolicy

ProviderName = Literal["openai", "anthropic"]

EX_CONFIG = 78  # sysexits.h: the program is fine, its configuration is not

_MOCK_PORT = 9000

_REAL_BASE_URL = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _redis_url(value: SecretStr) -> SecretStr:
    if urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


Host = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9.:_-]+$")]
AppEnv = Annotated[Literal["dev", "staging", "prod"], BeforeValidator(_lower)]


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
    prices_file: Annotated[Path, AfterValidator(readable)] | None = None

    retry: RetryPolicy = RetryPolicy()
    request_timeout_s: Annotated[float, Gt(0), Le(600)] = 60.0
    stream_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] = 30.0
    max_concurrency: Annotated[int, Ge(1), Le(10_000)] = 100

    enable_caching: bool = True
    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = None

    @field_validator("llm_providers", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip().lower() for part in value.split(",") if part.strip()]
        return value

    @field_validator("llm_providers")
    @classmethod
    def _each_provider_once(cls, value: tuple[ProviderName, ...]) -> tuple[ProviderName, ...]:
        if not value:
            raise ValueError("name at least one provider: openai, anthropic")
        if len(set(value)) != len(value):
            raise ValueError("each provider may be named once")
        return value

    @field_validator("debug_mode")
    @classmethod
    def _off_in_prod(cls, value: object, info: ValidationInfo) -> object:
        if value and info.data.get("app_env") == "prod":
            raise ValueError("must be off in prod: it shows errors to whoever causes them")
        return value

    @field_validator("openai", "anthropic", mode="before")
    @classmethod
    def _trimmed(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        trimmed = {k: v.strip() if isinstance(v, str) else v for k, v in value.items()}
        if isinstance(base_url := trimmed.get("base_url"), str):
            trimmed["base_url"] = base_url.rstrip("/")
        return trimmed

    @field_validator("openai", "anthropic")
    @classmethod
    def _usable(cls, policy: ProviderPolicy, info: ValidationInfo) -> ProviderPolicy:
        name = info.field_name or ""
        wrong = {}
        if not _is_address(policy.base_url):
            wrong["base_url"] = "must be an address like https://api.example.com/v1"
        elif info.data.get("app_env") == "prod" and name in info.data.get("llm_providers", ()):
            wrong = _unreal(name, policy)
        _raise_each(wrong)
        return policy

    def provider(self, name: ProviderName) -> ProviderPolicy:
        """Add to the policy of one provider the sampling parameters that all of them share."""
        policy: ProviderPolicy = getattr(self, name)
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
        """Earlier sources win. The `__` twins accept the explicit spelling of a nested name."""
        return (
            init_settings,
            env_settings,
            EnvSettingsSource(settings_cls, env_nested_delimiter="__", env_nested_max_split=None),
            dotenv_settings,
            DotEnvSettingsSource(
                settings_cls,
                env_file=getattr(dotenv_settings, "env_file", None),
                env_nested_delimiter="__",
                env_nested_max_split=None,
            ),
            file_secret_settings,
        )


def _unreal(name: str, policy: ProviderPolicy) -> dict[str, str]:
    """Find what works against the mock API only, by field."""
    otherwise = f"or leave {name} out of LLM_PROVIDERS"
    wrong = {}
    if policy.api_key is None:
        wrong["api_key"] = f"must be set in prod, {otherwise}"
    if _is_mock(policy.base_url):
        wrong["base_url"] = f"is the mock API; set it to {_REAL_BASE_URL[name]}, {otherwise}"
    return wrong


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def _is_mock(url: str) -> bool:
    parts = urlsplit(url)
    is_local = parts.hostname in {"127.0.0.1", "localhost", "::1"} and parts.port == _MOCK_PORT
    return is_local or parts.hostname == "mock-api"


def _raise_each(wrong: dict[str, str]) -> None:
    """Refuse each field under its own name; a plain `ValueError` would blame the whole policy."""
    if not wrong:
        return
    raise ValidationError.from_exception_data(
        "Settings",
        [
            InitErrorDetails(
                # The message is an argument, not the template: a brace in it means nothing.
                type=PydanticCustomError("refused", "{why}", {"why": why}),
                loc=(field,),
                input=None,
            )
            for field, why in wrong.items()
        ],
        hide_input=True,
    )


def problems(error: ValidationError) -> list[str]:
    """Write one line for each thing that is wrong: its variable, never its value."""
    lines = [
        f"{_variable(found['loc'])}: {found['msg'].removeprefix('Value error, ')}"
        for found in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return list(dict.fromkeys(lines))


def _variable(loc: tuple[int | str, ...]) -> str:
    return "_".join(part for part in loc if isinstance(part, str)).upper() or "settings"


def load() -> Settings:
    """Read the settings of this process, or end it with everything that is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        _refuse(problems(error))
    except SettingsError as error:  # a variable named like a group of them: `LOG=debug`
        name = str(error).partition('"')[2].partition('"')[0].upper()
        _refuse([f"{name}: is no variable of its own; the ones meant are {name}_…"])


def _refuse(lines: list[str]) -> NoReturn:
    report = [
        "The service cannot start with this configuration:",
        *(f"  {line}" for line in lines),
        "See .env.example for what each variable means.",
    ]
    sys.stderr.write("\n".join(report) + "\n")
    raise SystemExit(EX_CONFIG)
