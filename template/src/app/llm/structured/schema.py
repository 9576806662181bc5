"""Converts JSON schemas to the form that the providers' JSON modes accept.

OpenAI's strict mode and Anthropic's `output_config` refuse most of JSON Schema: every object must
be closed and every property required, and each of them refuses some limits on numbers, texts and
lists. Unsupported keywords go into the description, where the model can read them, and the answer
is validated against the Pydantic model in any case. Sources: both providers' guides on structured
outputs, and the conversions in their SDKs.

Schemas that cannot be expressed in this form (open mappings, tuples, recursion) are not changed. A
provider refuses them, and then `app.llm.structured.ask` puts the schema into the prompt.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel, JsonValue

from app.llm.types import AnswerSchema

JSONSchema = dict[str, JsonValue]

_KEPT = {"type", "enum", "const", "description", "properties", "items", "anyOf", "$ref", "$defs"}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
# Not needed, or set by this module: a schema without optional properties has no defaults.
_DROPPED = {"title", "default", "discriminator", "required", "additionalProperties"}


@lru_cache(maxsize=256)
def answer_schema(kind: type[BaseModel]) -> AnswerSchema:
    """The schema of answers that can be validated as a `kind`."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", kind.__name__)[:64]
    return AnswerSchema(name, strict_schema(kind.model_json_schema()))


def strict_schema(schema: Mapping[str, JsonValue]) -> JSONSchema:
    words = {"oneOf": "anyOf"}
    schema = {words.get(key, key): value for key, value in schema.items()}
    strict = {key: _nested(key, value) for key, value in schema.items() if _known(key, value)}
    if "$ref" in strict:  # no other keyword may be beside it, except definitions at the root
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


def instruction(schema: AnswerSchema) -> str:
    """The schema as a part of the prompt, for a provider that takes none in a field of its own."""
    if not schema.schema:
        return "Answer with one JSON object, and with nothing else."
    return (
        "Answer with one JSON value that follows this JSON schema, and with nothing else:\n"
        + json.dumps(schema.schema)
    )
