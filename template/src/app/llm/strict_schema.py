"""JSON schemas as the providers' own JSON modes accept them.

OpenAI's strict mode and Anthropic's `output_config` refuse most of JSON Schema: every object has to
be closed, every property required, and limits on numbers, texts and lists are unknown to one or the
other. What they do not know goes into the description, where the model at least reads it; the answer
is validated against the Pydantic model in any case. Sources: the guides on structured outputs of
both providers, and what their SDKs do before they send a schema.

What cannot be said in this way at all (an open mapping, a tuple, recursion) stays as it is. A
provider refuses it, and `app.llm.structured` then says it in the prompt.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, JsonValue

from app.llm.types import AnswerSchema

JSONSchema = dict[str, JsonValue]

_KEPT = {"type", "enum", "const", "description", "properties", "items", "anyOf", "$ref", "$defs"}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
# Noise, or decided here: without optional properties there is no default.
_DROPPED = {"title", "default", "discriminator", "required", "additionalProperties"}


@lru_cache(maxsize=256)
def answer_schema(kind: type[BaseModel]) -> AnswerSchema:
    """What an answer has to look like to become a `kind`."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", kind.__name__)[:64]
    return AnswerSchema(name, strict_schema(kind.model_json_schema()))


def strict_schema(schema: Mapping[str, JsonValue]) -> JSONSchema:
    words = {"oneOf": "anyOf"}
    schema = {words.get(key, key): value for key, value in schema.items()}
    strict = {key: _nested(key, value) for key, value in schema.items() if _known(key, value)}
    if "$ref" in strict:  # nothing may stand beside it, except definitions at the root
        return {key: strict[key] for key in ("$ref", "$defs") if key in strict}
    if strict.get("type") == "object":
        strict |= _closed(schema)
    if unknown := [key for key in schema if key not in _DROPPED and key not in strict]:
        limits = ", ".join(f"{key}: {schema[key]}" for key in unknown)
        strict["description"] = f"{schema.get('description', '')} ({limits})".strip()
    return strict


def _known(key: str, value: JsonValue) -> bool:
    return value in _FORMATS if key == "format" else key in _KEPT


def _nested(key: str, value: JsonValue) -> JsonValue:
    if isinstance(value, dict) and key in {"properties", "$defs"}:
        return {name: _strict(inner) for name, inner in value.items()}
    if isinstance(value, list) and key == "anyOf":
        return [_strict(inner) for inner in value]
    return _strict(value) if key == "items" else value


def _strict(schema: JsonValue) -> JsonValue:
    return strict_schema(schema) if isinstance(schema, dict) else schema


def _closed(schema: Mapping[str, JsonValue]) -> JSONSchema:
    properties, others = schema.get("properties"), schema.get("additionalProperties")
    return {
        "required": list(properties) if isinstance(properties, dict) else [],
        "additionalProperties": others if isinstance(others, dict) else False,
    }
