"""Validators that `app.settings` attaches to the fields of the providers."""

import math
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import find_spec
from urllib.parse import urlsplit

from pydantic import ValidationInfo

from app.configuration import providers
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.presets import PRESETS
from app.llm.providers.registry import APIS
from app.validation import raise_each

_MOCK_PORT = 9000


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
