"""Dialects: how answers of compatible servers differ from those of OpenAI or Anthropic.

`PUT /_mock/dialect` chooses one by its name. Each changes the answer always in the same way.

no_usage                usage is missing, whole and streamed
null_fields             ids, times, names and counts are null
content_parts           OpenAI: `content` is a list of parts
tool_index_zero         OpenAI, streamed: each tool call comes twice, with two ids and one index
tool_arguments_object   OpenAI, whole: `arguments` is an object
thinking_tags           the text begins with a thought between `<think>` and `</think>`
error_in_200            status 200, and an error with the code 429
error_as_text           status 429, and `error` is text
error_as_list           status 429, and the error is in a list
no_blank_line_at_end    streamed: the last event ends without a blank line
keepalive_data          streamed: empty data, `{}` and pings between the events
endless_tools           tools are called in every round, as long as they are allowed
strict_fields           fields that OpenAI added later are refused with 422
pings_only              streamed: pings and never any text; whole: no answer
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from pydantic import BaseModel, ConfigDict, field_validator

from mock_api.frames import Frame, Json

_LATER_FIELDS = ("max_completion_tokens", "stream_options")
_THOUGHT = '<think>The user wants {"draft": true}, or not.</think>'
_KEEP_ALIVES = (b"data:\n\n", b"data: {}\n\n", b'event: ping\ndata: {"type": "ping"}\n\n')


def _same(body: Json) -> Json:
    return body


def _alike(frames: Sequence[Frame]) -> Sequence[Frame]:
    return frames


@dataclass(frozen=True)
class Oddity:
    whole: Callable[[Json], Json] = _same
    stream: Callable[[Sequence[Frame]], Sequence[Frame]] = _alike
    error: tuple[int, object] | None = None
    refuses_later_fields: bool = False
    only_pings: bool = False
    endless_tools: bool = False

    def refusal(self, body: bytes) -> tuple[int, object] | None:
        """The status and body of the refusal, if this request is refused."""
        if self.error is not None or not self.refuses_later_fields:
            return self.error
        unknown = [
            {"loc": ["body", name], "msg": "Extra inputs are not permitted"}
            for name in _later(body)
        ]
        return (422, {"detail": unknown}) if unknown else None


def _later(body: bytes) -> list[str]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    found = [name for name in _LATER_FIELDS if name in asked]
    return found + ["encoding_format"] * (asked.get("encoding_format") == "base64")


def _each(change: Callable[[Json], Json | None]) -> Callable[[Sequence[Frame]], list[Frame]]:
    """Apply a change to every event; None removes the event."""

    def changed(frame: Frame) -> Frame | None:
        if frame.event is None:
            return frame
        event = change(frame.event)
        return None if event is None else frame.having(event)

    return lambda frames: [kept for frame in frames if (kept := changed(frame)) is not None]


def _without_usage(body: Json) -> Json:
    kept = {name: value for name, value in body.items() if name != "usage"}
    if "message" in kept:  # Anthropic's first event
        kept["message"] = _without_usage(kept["message"])
    return kept


def _event_without_usage(event: Json) -> Json | None:
    """Remove the usage from an event, and an event that contains only the usage."""
    return None if event.get("choices") == [] else _without_usage(event)


def _nulled(body: Json) -> Json:
    unneeded = ("id", "object", "created", "model", "system_fingerprint", "usage", "stop_sequence")
    nulled: Json = {name: None if name in unneeded else value for name, value in body.items()}
    if "message" in nulled:
        nulled["message"] = _nulled(nulled["message"])
    return nulled


def _event_nulled(event: Json) -> Json | None:
    return None if event.get("choices") == [] else _nulled(event)


def _with_messages(change: Callable[[Json], Json]) -> Callable[[Json], Json]:
    """Change OpenAI's `message` or `delta`; Anthropic's answers have none."""

    def changed(body: Json) -> Json:
        choices = [
            {
                name: change(value) if name in {"message", "delta"} else value
                for name, value in choice.items()
            }
            for choice in body.get("choices", ())
        ]
        return {**body, "choices": choices} if "choices" in body else body

    return changed


def _in_parts(message: Json) -> Json:
    text = message.get("content")
    return {**message, "content": [{"type": "text", "text": text}]} if text else message


def _object_arguments(message: Json) -> Json:
    calls = [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": orjson.loads(call["function"]["arguments"]),
            },
        }
        for call in message.get("tool_calls", ())
    ]
    return {**message, "tool_calls": calls} if calls else message


def _doubled_calls(frames: Sequence[Frame]) -> list[Frame]:
    """Repeat all pieces of the tool call with another id."""
    calling = [frame for frame in frames if "tool_calls" in _delta(frame)]
    end = frames.index(calling[-1]) + 1 if calling else 0
    again = [_renamed(frame) for frame in calling]
    return [*frames[:end], *again, *frames[end:]]


def _delta(frame: Frame) -> Json:
    choices = (frame.event or {}).get("choices")
    delta: Json = choices[0]["delta"] if isinstance(choices, list) and choices else {}
    return delta


def _renamed(frame: Frame) -> Frame:
    """Change the id in the first piece; the other pieces only have the index."""

    def renamed(delta: Json) -> Json:
        calls = [
            {**call, "id": f"{call['id']}_2"} if "id" in call else call
            for call in delta["tool_calls"]
        ]
        return {**delta, "tool_calls": calls}

    return frame.having(_with_messages(renamed)(frame.event or {}))


def _thinking(body: Json) -> Json:
    """Add a thought to OpenAI's message, or to Anthropic's first block of text."""
    if "choices" in body:
        return _with_messages(_thinking_message)(body)
    blocks = [
        {**block, "text": _THOUGHT + block["text"]} if block.get("type") == "text" else block
        for block in body.get("content", ())
    ]
    return {**body, "content": blocks} if blocks else body


def _thinking_message(message: Json) -> Json:
    text = message.get("content")
    return {**message, "content": _THOUGHT + text} if text else message


def _thinking_stream(frames: Sequence[Frame]) -> list[Frame]:
    """Add the thought to the first piece of text."""
    first = next((number for number, frame in enumerate(frames) if _text(frame)), None)
    return [
        _with_thought(frame) if number == first else frame for number, frame in enumerate(frames)
    ]


def _text(frame: Frame) -> str:
    event = frame.event or {}
    delta = event["delta"] if event.get("type") == "content_block_delta" else _delta(frame)
    found: str = delta.get("text") or delta.get("content") or ""
    return found


def _with_thought(frame: Frame) -> Frame:
    event = frame.event or {}
    if "choices" in event:
        return frame.having(_thinking(event))
    delta = event["delta"]
    return frame.having({**event, "delta": {**delta, "text": _THOUGHT + delta["text"]}})


def _unended(frames: Sequence[Frame]) -> list[Frame]:
    *others, last = frames
    return [*others, last._replace(data=last.data.rstrip())]


def _kept_alive(frames: Sequence[Frame]) -> list[Frame]:
    """Add a keep-alive after each event except the last."""
    found: list[Frame] = []
    for number, frame in enumerate(frames):
        found += [frame, Frame(_KEEP_ALIVES[number % len(_KEEP_ALIVES)])]
    return found[:-1]


_LIMIT = {"message": "Rate limit exceeded, try again later", "code": 429}
NO_ODDITY = Oddity()
ODDITIES = {
    "no_usage": Oddity(_without_usage, _each(_event_without_usage)),
    "null_fields": Oddity(_nulled, _each(_event_nulled)),
    "content_parts": Oddity(_with_messages(_in_parts), _each(_with_messages(_in_parts))),
    "tool_index_zero": Oddity(stream=_doubled_calls),
    "tool_arguments_object": Oddity(_with_messages(_object_arguments)),
    "thinking_tags": Oddity(_thinking, _thinking_stream),
    "error_in_200": Oddity(error=(200, {"error": _LIMIT})),
    "error_as_text": Oddity(error=(429, {"error": _LIMIT["message"]})),
    "error_as_list": Oddity(error=(429, [{"error": _LIMIT}])),
    "no_blank_line_at_end": Oddity(stream=_unended),
    "keepalive_data": Oddity(stream=_kept_alive),
    "endless_tools": Oddity(endless_tools=True),
    "strict_fields": Oddity(refuses_later_fields=True),
    "pings_only": Oddity(only_pings=True),
}


class Chosen(BaseModel):
    """A dialect in the format of `PUT /_mock/dialect`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ODDITIES:
            raise ValueError(f"must be one of {', '.join(ODDITIES)}")
        return name


class Spoken:
    """The current dialect; at first, the providers' own."""

    def __init__(self) -> None:
        self.name: str | None = None

    @property
    def oddity(self) -> Oddity:
        return NO_ODDITY if self.name is None else ODDITIES[self.name]
