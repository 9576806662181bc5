"""Rules of OpenAI's requests that the types do not say, as JSON schemas."""

from pydantic import JsonValue
from pydantic.json_schema import JsonSchemaValue


def _required(name: str, **schema: JsonValue) -> dict[str, JsonValue]:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}, **schema}}}


def _if_role(role: str, then: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"if": {"properties": {"role": {"const": role}}}, "then": then}


# As `MessageIn` validates them.
_TEXT_ONLY: dict[str, JsonValue] = {"items": {"properties": {"type": {"const": "text"}}}}
FIELDS_OF_ROLES: dict[str, JsonValue] = {
    **_if_role(
        "assistant",
        {
            "properties": {"content": _TEXT_ONLY},
            "anyOf": [
                _required("content"),
                _required("tool_calls", minItems=1),
                _required("refusal", minLength=1),
            ],
        },
    ),
    "else": {
        **_required("content"),
        "anyOf": [
            {"properties": {"role": {"const": "user"}}},
            {"properties": {"content": _TEXT_ONLY}},
        ],
        **_if_role("tool", _required("tool_call_id")),
    },
}


SCHEMA_IF_NAMED: dict[str, JsonValue] = {
    "if": {"properties": {"type": {"const": "json_schema"}}},
    "then": _required("json_schema"),
}


def with_one(schema: JsonSchemaValue) -> None:
    """The schema of a list, and of a text in place of a list of one text."""
    item = schema["items"]
    texts = {key: schema.pop(key) for key in _OF_A_LIST if key in schema}
    schema["anyOf"] = [item, texts]


_OF_A_LIST = ("type", "items", "minItems", "maxItems")
