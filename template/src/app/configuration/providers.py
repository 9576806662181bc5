"""Settings of providers that need no code: `PROVIDERS__<NAME>__<FIELD>`.

A provider's name is in lower case and may contain hyphens. Variables cannot contain hyphens, so
they have underscores instead: `PROVIDERS__MY_VLLM__MODEL` is for `my-vllm` in `LLM_PROVIDERS`.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

from app.llm.providers.policy import Facts, ProviderPolicy
from app.llm.providers.presets import PRESETS
from app.llm.providers.registry import APIS

FieldPath = tuple[str, ...]
Wrong = dict[FieldPath, str]

FIELD = "providers"
PREFIX = "PROVIDERS__"
SPELLING = f"{PREFIX}<NAME>__…"

# Providers with settings of their own, such as OPENAI_MODEL.
BUILT_IN = {
    "openai": "openai",
    "anthropic": "anthropic",
    "openai-sdk": "openai",
    "anthropic-sdk": "anthropic",
}

FACTS = tuple(field.name for field in dataclasses.fields(Facts))
FIELDS = ("preset", "api", "base_url", "api_key", "model", "embedding_model", *FACTS)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 32


def path_of(variable: str) -> FieldPath | None:
    """The path of the field that a variable sets (in any case); `None` for other variables."""
    if not variable.upper().startswith(PREFIX):
        return None
    name, _, field = variable[len(PREFIX) :].rpartition("__")
    return (FIELD, canonical(name), field.lower())


def variable_of(path: Iterable[str]) -> str:
    parts = [part for part in path if part != "facts"]
    return "__".join(parts).replace("-", "_").upper()


def canonical(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def tidied(value: object, api: str) -> object:
    """Remove spaces, a slash at the end of an address, and the path of an endpoint after it."""
    if not isinstance(value, Mapping):
        return value
    stripped = {k: v.strip() if isinstance(v, str) else v for k, v in value.items()}
    if isinstance(base_url := stripped.get("base_url"), str):
        stripped["base_url"] = _address(base_url, APIS[api].paths)
    return stripped


def _address(url: str, paths: Iterable[str]) -> str:
    address, question_mark, query = url.partition("?")
    address = address.rstrip("/")
    for path in paths:
        address = address.removesuffix(path)
    return address + question_mark + query


def completed(given: Mapping[str, object]) -> tuple[dict[str, object], Wrong]:
    """All settings of each provider, including its preset; and the errors, by name and field."""
    found: dict[str, object] = {}
    wrong: Wrong = {}
    for key, entry in given.items():
        name = canonical(key)
        if isinstance(entry, ProviderPolicy):
            found[name] = dataclasses.replace(entry, name=name, vendor=entry.vendor or name)
        elif not isinstance(entry, Mapping):
            wrong[name,] = "must have fields, such as base_url and model"
        elif why := _entry_problems(name, entry):
            wrong |= {(name, field): reason for field, reason in why.items()}
        else:
            found[name] = _full(name, entry)
    return found, wrong


def _entry_problems(name: str, entry: Mapping[str, object]) -> dict[str, str]:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        why = "the name of a provider must begin with a letter and have only letters, digits and _"
        return dict.fromkeys(entry, why)
    if name in BUILT_IN:
        return _built_in_problems(name, entry)
    unknown = {field: _unknown(field) for field in entry if field not in FIELDS}
    return unknown or _kind_problems(name, entry) or _gaps(name, entry)


def _built_in_problems(name: str, entry: Mapping[str, object]) -> dict[str, str]:
    """The errors of a built-in provider: here only its facts can be set, and no other setting."""
    vendor = BUILT_IN[name]
    if name != vendor:
        why = f"{name} has the settings of {vendor}"
        return dict.fromkeys(entry, why)
    wrong = {}
    for field in entry:
        if field in {"preset", "api"}:
            wrong[field] = f"{name} is built in: choose another name for this provider"
        elif field in {"base_url", "api_key", "model", "embedding_model"}:
            wrong[field] = f"is {vendor.upper()}_{field.upper()} for the built-in provider"
        elif field not in FACTS:
            wrong[field] = _unknown(field)
    return wrong or _unread(vendor, entry)


def _kind_problems(name: str, entry: Mapping[str, object]) -> dict[str, str]:
    """The errors in `preset` and `api`, which decide the meaning of the other fields."""
    preset, api = _word(entry, "preset"), _word(entry, "api")
    if preset is not None and preset not in PRESETS:
        return {"preset": f"must be one of {', '.join(PRESETS)}"}
    if api is not None and api not in APIS:
        return {"api": f"must be one of {', '.join(APIS)}"}
    if api is None and preset is None and name not in PRESETS:
        return {
            "api": f"must be set ({', '.join(APIS)}), or {variable_of((FIELD, name, 'preset'))} "
            f"({', '.join(PRESETS)})"
        }
    return _unread(_api(name, entry), entry)


def _unread(api: str, entry: Mapping[str, object]) -> dict[str, str]:
    """Fields that have no effect with this API, and are therefore refused."""
    unread = (set(FACTS) | {"embedding_model"}) - APIS[api].settings
    return {field: f"has no meaning for the API {api}" for field in entry if field in unread}


def _gaps(name: str, entry: Mapping[str, object]) -> dict[str, str]:
    base = _base(name, entry)
    return {
        field: "must be set"
        for field in ("base_url", "model")
        if not (entry.get(field) or getattr(base, field))
    }


def _unknown(field: str) -> str:
    near = difflib.get_close_matches(field, FIELDS, n=1, cutoff=0.6)
    known = ", ".join(name.upper() for name in FIELDS)
    return (
        f"is not a setting of a provider; did you mean {near[0].upper()}?"
        if near
        else (f"is not a setting of a provider; the settings are: {known}")
    )


def _word(entry: Mapping[str, object], field: str) -> str | None:
    value = entry.get(field)
    return None if value is None else str(value).strip().lower()


def _preset(name: str, entry: Mapping[str, object]) -> str | None:
    """The configured preset, or else the preset with the provider's own name."""
    return _word(entry, "preset") or (name if name in PRESETS else None)


def _api(name: str, entry: Mapping[str, object]) -> str:
    preset = _preset(name, entry)
    return _word(entry, "api") or (PRESETS[preset].api if preset else "openai")


def _base(name: str, entry: Mapping[str, object]) -> ProviderPolicy:
    """The defaults of a provider: those of its preset or of its API."""
    preset = _preset(name, entry)
    return (
        PRESETS[preset] if preset else ProviderPolicy("", "", facts=APIS[_api(name, entry)].facts)
    )


def _full(name: str, entry: Mapping[str, object]) -> dict[str, object]:
    """The provider as a dictionary for `ProviderPolicy`, which validates the values."""
    if name in BUILT_IN:
        base, api = PRESETS[name], BUILT_IN[name]
    else:
        base, api = _base(name, entry), _api(name, entry)
    given = tidied(entry, api)
    assert isinstance(given, Mapping)  # noqa: S101 - for the type checker
    facts = {f: _lower(given.get(f, getattr(base.facts, f))) for f in FACTS}
    return {
        "base_url": given.get("base_url", base.base_url),
        "api_key": given.get("api_key"),
        "model": given.get("model", base.model),
        "embedding_model": given.get("embedding_model", base.embedding_model),
        "api": api,
        "name": name,
        "vendor": _preset(name, entry) or name,
        "facts": facts,
    }


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def shown(found: Mapping[str, ProviderPolicy]) -> Iterator[tuple[FieldPath, object, str]]:
    """All settings of all providers: the path, the value, and its source if it is not given."""
    for name, policy in found.items():
        otherwise = f"preset {policy.vendor}" if policy.vendor in PRESETS else "default"
        for field in FIELDS:
            owner = policy.facts if field in FACTS else policy
            if field in _shown_fields(name, policy):
                yield (FIELD, name, field), getattr(owner, field), otherwise


def _shown_fields(name: str, policy: ProviderPolicy) -> frozenset[str]:
    """The fields shown here; the other settings of a built-in provider have their own variables."""
    read = APIS[policy.api].settings
    if name in BUILT_IN:
        return read & set(FACTS)
    return read | {"api", "base_url", "api_key", "model"}
