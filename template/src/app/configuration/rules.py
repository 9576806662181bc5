"""Validators that `app.settings` attaches to its fields: rules beyond the field's type."""

import math
import re
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationInfo

from app.clients.keys import client_name
from app.clients.policy import ClientLimits, ClientPolicy
from app.configuration import clients, providers
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.presets import PRESETS
from app.llm.providers.registry import APIS
from app.resilience.rate_limit import RateLimitPolicy
from app.validation import raise_each

CONFIG_FILE = "config.yaml"

_MOCK_PORT = 9000


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def validate_temperature(value: float | None, info: ValidationInfo) -> float | None:
    """Refuse a temperature that a provider does not accept: every call with it would fail."""
    for name in info.data.get("llm_providers", ()):
        highest = _max_temperature(name, info)
        if (value or 0) > highest:
            raise ValueError(
                f"must be at most {highest:g} for {name}; or remove {name} from LLM_PROVIDERS"
            )
    return value


def _max_temperature(name: str, info: ValidationInfo) -> float:
    vendor = providers.BUILT_IN.get(name, name)
    policy = info.data.get("providers", {}).get(vendor) or PRESETS.get(vendor)
    return math.inf if policy is None else policy.facts.max_temperature  # refused elsewhere


def validate_config_file(path: str) -> str:
    """Refuse a missing file, except the default one, which most services do not have."""
    if path != CONFIG_FILE and not Path(path).is_file():
        raise ValueError("the file does not exist")
    return path


def split_at_commas(value: object) -> object:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return [providers.canonical(part) if isinstance(part, str) else part for part in value]
    return value


def validate_unique(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("name at least one provider: openai, anthropic")
    if len(set(value)) != len(value):
        raise ValueError("each provider may be named only once")
    return value


def validate_defined(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Check that each name is a defined provider, and that each defined provider is named.

    An unknown name is not repeated: it may be a key that was pasted into the wrong variable.
    """
    if (defined := info.data.get("providers")) is None:
        return value  # errors in the definitions are reported by another validator
    for place, name in enumerate(value, 1):
        if name not in defined and name not in providers.BUILT_IN:
            _refuse_undefined(name, place, [*providers.BUILT_IN, *defined, *PRESETS], info)
    for name in defined:
        if name not in value and name not in providers.BUILT_IN:
            spelling = providers.variable_of((providers.FIELD, name, "…"))
            raise ValueError(f"add {name} to it, or remove {spelling}, which has no effect now")
    return value


def _refuse_undefined(name: str, place: int, known: list[str], info: ValidationInfo) -> None:
    if name not in PRESETS:
        near = get_close_matches(name, known, n=1)
        guess = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(
            f"name {place} is not a provider{guess} Known: {', '.join(dict.fromkeys(known))}; "
            f"{providers.SPELLING} defines others (docs/providers.md)"
        )
    preset, needs = PRESETS[name], []
    needs += [] if preset.base_url else ["base_url"]
    needs += [] if preset.model else ["model"]
    if preset.facts.key_required and info.data.get("app_env") == "prod":
        needs.append("api_key")
    if needs:
        variables = (providers.variable_of((providers.FIELD, name, field)) for field in needs)
        raise ValueError(f"{name} needs {', '.join(variables)}")


def validate_packages(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    for name in value:
        policy = info.data.get("providers", {}).get(name)
        api = policy.api if policy is not None else name
        package = APIS[api].package if api in APIS else None
        if package is not None and find_spec(package) is None:
            raise ValueError(
                f"{name} needs the package {package} of the extra sdk: "
                "make lock EXTRAS=sdk, and install or build again"
            )
    return value


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


def complete_providers(value: object) -> object:
    """Complete the providers with their presets; report each error with the variable's name."""
    if not isinstance(value, dict):
        return value
    found, wrong = providers.completed(value)
    raise_each(wrong)
    return found


def validate_providers(
    value: dict[str, ProviderPolicy], info: ValidationInfo
) -> dict[str, ProviderPolicy]:
    wrong: dict[tuple[str, ...], str] = {}
    for name, policy in value.items():
        if name not in providers.BUILT_IN:
            found = _unusable(name, policy, is_prod=info.data.get("app_env") == "prod")
            wrong |= {(name, field): why for field, why in found.items()}
    raise_each(wrong)
    return value


def tidy_provider(value: object, info: ValidationInfo) -> object:
    return providers.tidied(value, info.field_name or "")


def validate_provider(policy: ProviderPolicy, info: ValidationInfo) -> ProviderPolicy:
    name = info.field_name or ""
    asked = {providers.BUILT_IN.get(each, each) for each in info.data.get("llm_providers", ())}
    is_prod = info.data.get("app_env") == "prod" and name in asked
    if (own := info.data.get("providers", {}).get(name)) is not None:
        policy = replace(policy, facts=own.facts)
    wrong = _unusable(name, policy, is_prod=is_prod)
    raise_each({(field,): why for field, why in wrong.items()})
    return policy


def _unusable(name: str, policy: ProviderPolicy, *, is_prod: bool) -> dict[str, str]:
    if not _is_address(policy.base_url):
        return {"base_url": "must be an address like https://api.example.com/v1"}
    return _unreal(name, policy) if is_prod else {}


def _unreal(name: str, policy: ProviderPolicy) -> dict[str, str]:
    """Find the fields that only work with the mock API."""
    otherwise = f"or leave {name} out of LLM_PROVIDERS"
    wrong = {}
    if policy.api_key is None and policy.facts.key_required:
        wrong["api_key"] = f"must be set in prod, {otherwise}"
    if is_mock(policy.base_url):
        preset = PRESETS.get(policy.vendor or name)
        real = f"set it to {preset.base_url}" if preset and preset.base_url else "set the real one"
        wrong["base_url"] = f"is the mock API; {real}, {otherwise}"
    return wrong


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:  # an invalid port or IPv6 address
        return False


def is_mock(url: str) -> bool:
    parts = urlsplit(url)
    is_local = parts.hostname in {"127.0.0.1", "localhost", "::1"} and parts.port == _MOCK_PORT
    return is_local or parts.hostname == "mock-api"


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
