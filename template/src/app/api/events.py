"""The events of a stream with the types of their data: the same object sends and documents them."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter

T = TypeVar("T")

# The schemas of the data on their way to the components of the OpenAPI document.
SCHEMAS = "x-schemas"
_COMPONENT = "#/components/schemas/{model}"

# JSON does not escape these three, but clients that split lines as Python does would split there.
_LINE_ENDS = {
    char.encode(): f"\\u{ord(char):04x}".encode() for char in ("\x85", "\u2028", "\u2029")
}


def as_json(data: BaseModel) -> bytes:
    return data.model_dump_json().encode()


class Event(Generic[T]):
    """A kind of event. `kind` is the type of its data: a Pydantic model or a `TypedDict`.

    `encode` returns JSON without line ends. An event without a name has data only.
    """

    def __init__(self, name: str | None, kind: type[T], encode: Callable[[T], bytes]) -> None:
        self.name = name
        self.adapter = TypeAdapter(kind)
        self._encode = encode
        self._head = b"data: " if name is None else b"event: %b\ndata: " % name.encode()

    def frame(self, data: T) -> bytes:
        encoded = self._encode(data)
        for char, escaped in _LINE_ENDS.items():
            encoded = encoded.replace(char, escaped)
        return b"%b%b\n\n" % (self._head, encoded)


def described(*events: Event[Any], last: str | None = None) -> dict[str, Any]:
    """The media type `text/event-stream` with a schema for each event.

    `itemSchema` is a field of OpenAPI 3.2, which FastAPI writes too; tools that know only 3.1 ignore
    it. `last` is the data of a last event that is not JSON.
    """
    schemas, definitions = TypeAdapter.json_schemas(
        [(number, "serialization", event.adapter) for number, event in enumerate(events)],
        ref_template=_COMPONENT,
    )
    alternatives = [
        _event(event.name, schemas[number, "serialization"]) for number, event in enumerate(events)
    ]
    if last is not None:
        alternatives.append(_object({"data": {"const": last}}))
    return {
        "itemSchema": {"anyOf": alternatives},
        SCHEMAS: definitions.get("$defs", {}),
    }


def media_type_of(kind: type[Any]) -> dict[str, Any]:
    """The documentation of a body that is JSON: a Pydantic model or a `TypedDict`.

    `responses={404: {"model": kind}}` would say the same, but FastAPI builds a validator for each
    status of each route then, twice: most of the time that making the application takes.
    """
    keyed, definitions = TypeAdapter.json_schemas(
        [("body", "serialization", TypeAdapter(kind))], ref_template=_COMPONENT
    )
    return {"schema": keyed["body", "serialization"], SCHEMAS: definitions.get("$defs", {})}


def _event(name: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    named = {} if name is None else {"event": {"const": name}}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return _object({**named, "data": data})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
