"""Validators that `app.settings` attaches to its fields: rules beyond the field's type."""

import re
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationInfo

from app.clients.keys import client_name
from app.clients.policy import ClientLimits, ClientPolicy
from app.configuration import clients
from app.resilience.rate_limit import RateLimitPolicy
from app.validation import raise_each

CONFIG_FILE = "config.yaml"


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def validate_config_file(path: str) -> str:
    """Refuse a missing file, except the default one, which most services do not have."""
    if path != CONFIG_FILE and not Path(path).is_file():
        raise ValueError("the file does not exist")
    return path


def validate_tracing(value: object) -> object:
    if value and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        raise ValueError(
            "needs OpenTelemetry's exporter of the extra otel: "
            "make lock EXTRAS=otel, and install or build again"
        )
    return value


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def validate_off_in_prod(value: object, info: ValidationInfo) -> object:
    if value and info.data.get("app_env") == "prod":
        raise ValueError("must be off in prod: it shows the details of errors to callers")
    return value


def validate_debug_port(value: int | None, info: ValidationInfo) -> int | None:
    """A debugger can run any code in the service: it belongs on the developer's machine only."""
    if value is None:
        return value
    if (app_env := info.data.get("app_env")) in {"staging", "prod"}:
        raise ValueError(f"must be empty in {app_env}: a debugger can run any code in the service")
    if value == info.data.get("port"):
        raise ValueError("must differ from PORT")
    if not _is_installed("debugpy"):
        raise ValueError("needs debugpy, which the production image does not have: use make dev")
    return value


def tidy_clients(value: object) -> object:
    """Check the names of clients' limits, and give each client its canonical name."""
    if not isinstance(value, dict):
        return value
    raise_each(clients.problems(value))
    return {client_name(name): limits for name, limits in value.items()}


def validate_clients(
    value: dict[str, ClientLimits], info: ValidationInfo
) -> dict[str, ClientLimits]:
    """Refuse limits of a client without a key: they would have no effect."""
    policy: ClientPolicy | None = info.data.get("client")
    if policy is None:
        return value  # its errors are reported by another validator
    known = {key.name for key in policy.keys or ()}
    why = "the client has no key in CLIENT_KEYS"
    raise_each({(name,): why for name in value if name not in known})
    return value


def validate_client_keys(policy: ClientPolicy, info: ValidationInfo) -> ClientPolicy:
    """Refuse a service without keys that must have them, or that others can reach."""
    if policy.keys or policy.auth == "off":
        return policy
    needed = "must be set: `make client-key NAME=…` prints an entry"
    if policy.auth == "required":
        raise_each({("keys",): f"{needed}; or set CLIENT_AUTH=off"})
    if (app_env := info.data.get("app_env")) in {"staging", "prod"}:
        raise_each(
            {
                ("keys",): f"{needed}; {app_env} needs keys of clients, or CLIENT_AUTH=off if a "
                "gateway in front of the service authenticates them"
            }
        )
    return policy


def validate_max_tokens_limit(value: int | None, info: ValidationInfo) -> int | None:
    if value is not None and value < info.data.get("max_tokens", 0):
        raise ValueError("must not be below MAX_TOKENS, which requests without max_tokens get")
    return value


def validate_rate_limit(value: RateLimitPolicy, info: ValidationInfo) -> RateLimitPolicy:
    tokens = value.tokens_per_minute
    if tokens and tokens <= info.data.get("max_tokens", 0):
        why = "must be above MAX_TOKENS, which requests without max_tokens reserve"
        raise_each({("tokens_per_minute",): why})
    return value


def validate_admin_port(value: int | None, info: ValidationInfo) -> int | None:
    if value is not None and value == info.data.get("port"):
        raise ValueError("must differ from PORT")
    return value


def validate_workers(value: int, info: ValidationInfo) -> int:
    """Workers share limits, budgets and circuits through Redis only, and each has its own admin port."""
    if value == 1:
        return value
    if info.data.get("debug_port") is not None:
        raise ValueError("must be 1 with DEBUG_PORT: a debugger attaches to one process")
    if info.data.get("redis_url") is None:
        raise ValueError("more than 1 needs REDIS_URL, through which workers share their limits")
    first = info.data.get("admin_port")
    if first is not None and not _ports_fit(first, value, info.data.get("port")):
        raise ValueError(
            "the workers' admin ports (ADMIN_PORT and those after it, one for each worker) must be at "
            "most 65535 and not contain PORT"
        )
    return value


def _ports_fit(first: int, count: int, port: int | None) -> bool:
    return first + count - 1 <= _LAST_PORT and port not in range(first, first + count)


_LAST_PORT = 65535


def split_origins(value: object) -> object:
    """Split at commas; an origin is a scheme, a host and perhaps a port, or `*`."""
    return _listed(value, _ORIGIN, "must be origins like https://app.example.com, or *")


def split_models(value: object) -> object:
    return _listed(value, _MODEL, "must be names of models, separated by commas")


_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")


def _listed(value: object, form: re.Pattern[str], why: str) -> object:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        return value
    found = tuple(str(part).strip() for part in parts if str(part).strip())
    if not found or not all(map(form.fullmatch, found)):
        raise ValueError(why)
    return found
