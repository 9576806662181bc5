"""Which fields belong to which kind of block, delta and event. Fields of other kinds are dropped.

A value without its `type` is recognised by its fields: gateways leave the type out.
"""

from collections.abc import Mapping

from app.llm.providers.boundary import is_empty

Kinds = Mapping[str, tuple[str, ...]]

# The fields that the converter reads. The first one gives a value without a type away.
_BLOCKS: Kinds = {
    "tool_use": ("name", "id", "input"),
    "text": ("text",),
}
_DELTAS: Kinds = {
    "text_delta": ("text",),
    "input_json_delta": ("partial_json",),
    "thinking_delta": ("thinking",),
}
_EVENTS: Kinds = {
    "message_start": ("message",),
    "content_block_start": ("content_block", "index"),
    "content_block_delta": ("delta", "index"),
    "message_delta": ("delta", "usage", "stop_reason"),
    "message_stop": ("type", "usage"),  # always typed: nothing else gives the end away
    # A server that does not stream sends its whole answer.
    "message": ("content", "id", "model", "stop_reason", "usage"),
}


def is_typed(value: Mapping[str, object]) -> bool:
    return isinstance(value.get("type"), str) and not is_empty(value["type"])


def named(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    """An event without its type, with the name that the stream gives it."""
    return (
        value
        if is_typed(value) or name not in _EVENTS or name == "message"
        else {**value, "type": name}
    )


def block(value: object) -> object:
    return _of_kind(value, _BLOCKS) if isinstance(value, dict) else value


def blocks(value: object) -> object:
    """A list of blocks. A text, or one block, is a list of one."""
    if isinstance(value, str):
        value = [{"type": "text", "text": value}]
    if isinstance(value, dict):
        value = [value]
    return [_block_or_text(item) for item in value] if isinstance(value, list) else value


def _block_or_text(item: object) -> object:
    if isinstance(item, str):
        return {"type": "text", "text": item}
    return {} if item is None else item


def delta(value: object) -> object:
    """The delta of a `message_delta` has the reason to stop, and no type."""
    if not isinstance(value, dict):
        return value
    return {"stop_reason": value.get("stop_reason"), **_of_kind(value, _DELTAS)}


def event(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if is_typed(value):
        return _of_kind(value, _EVENTS)
    ends = not is_empty(_stop_reason(value.get("delta")))
    kind = {"type": "message_delta"} if ends else {}
    return _of_kind({**value, "type": None, **kind}, _EVENTS)


def _stop_reason(value: object) -> object:
    return value.get("stop_reason") if isinstance(value, dict) else None


def _of_kind(value: Mapping[str, object], kinds: Kinds) -> dict[str, object]:
    kind = value.get("type")
    if not is_typed(value):
        found = (kind for kind, fields in kinds.items() if not is_empty(value.get(fields[0])))
        kind = next(found, "")
    fields = {field: value[field] for field in kinds.get(str(kind), ()) if field in value}
    return {**fields, "type": kind}
