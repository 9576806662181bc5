"""What a setting must be beyond its type: functions that `app.settings` attaches to its fields."""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.llm.providers.policy import ProviderPolicy, vendor

CONFIG_FILE = "config.yaml"

_MOCK_PORT = 9000

_REAL_BASE_URL = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    if not _is_connectable(url):
        raise ValueError(
            "must be like redis://user:password@host:6379/0, with options that redis-py knows; "
            "in a password / is %2F, # is %23 and ? is %3F"
        )
    return value


def _is_connectable(redis_url: str) -> bool:
    """Let redis-py read it as a connection would. What it says of a wrong one repeats the password."""
    from redis.asyncio import ConnectionPool, RedisError  # noqa: PLC0415 - most need no Redis

    try:
        ConnectionPool.from_url(redis_url).make_connection()  # type: ignore[no-untyped-call]  # not typed there
    except (ValueError, TypeError, RedisError):
        return False
    return True


def mild_enough(value: float | None, info: ValidationInfo) -> float | None:
    """A temperature above 1 would be refused by Anthropic, call by call."""
    if (value or 0) > 1 and "anthropic" in map(vendor, info.data.get("llm_providers", ())):
        raise ValueError("must be at most 1 for anthropic; or leave it out of LLM_PROVIDERS")
    return value


def there(path: str) -> str:
    """Accept the default file without looking: most services have none."""
    if path != CONFIG_FILE and not Path(path).is_file():
        raise ValueError("there is no such file")
    return path


def split_at_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip().lower() for part in value.split(",") if part.strip()]
    return value


def each_provider_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("name at least one provider: openai, anthropic")
    if len(set(value)) != len(value):
        raise ValueError("each provider may be named once")
    return value


def installed(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if name != vendor(name) and find_spec(vendor(name)) is None:
            raise ValueError(
                f"{name} needs the package {vendor(name)}, which comes with the extra sdk: "
                "make lock EXTRAS=sdk, and install or build anew"
            )
    return value


def traceable(value: object) -> object:
    if value and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        raise ValueError(
            "needs OpenTelemetry's exporter, which comes with the extra otel: "
            "make lock EXTRAS=otel, and install or build anew"
        )
    return value


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # one of the packages around it
        return False


def off_in_prod(value: object, info: ValidationInfo) -> object:
    if value and info.data.get("app_env") == "prod":
        raise ValueError("must be off in prod: it shows errors to whoever causes them")
    return value


def trimmed(value: object) -> object:
    if not isinstance(value, dict):
        return value
    stripped = {k: v.strip() if isinstance(v, str) else v for k, v in value.items()}
    if isinstance(base_url := stripped.get("base_url"), str):
        stripped["base_url"] = base_url.rstrip("/")
    return stripped


def usable(policy: ProviderPolicy, info: ValidationInfo) -> ProviderPolicy:
    name = info.field_name or ""
    wrong = {}
    if not _is_address(policy.base_url):
        wrong["base_url"] = "must be an address like https://api.example.com/v1"
    elif info.data.get("app_env") == "prod" and name in map(
        vendor, info.data.get("llm_providers", ())
    ):
        wrong = _unreal(name, policy)
    _raise_each(wrong)
    return policy


def _unreal(name: str, policy: ProviderPolicy) -> dict[str, str]:
    """Find what works against the mock API only, by field."""
    otherwise = f"or leave {name} out of LLM_PROVIDERS"
    wrong = {}
    if policy.api_key is None:
        wrong["api_key"] = f"must be set in prod, {otherwise}"
    if is_mock(policy.base_url):
        wrong["base_url"] = f"is the mock API; set it to {_REAL_BASE_URL[name]}, {otherwise}"
    return wrong


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def is_mock(url: str) -> bool:
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
