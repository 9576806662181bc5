"""Anthropic's stream: message_start, one block of deltas, message_delta, message_stop."""

from collections.abc import Iterator, Sequence
from typing import Literal

import orjson

from mock_api.answers import Completion
from mock_api.anthropic.messages import answer, usage
from mock_api.anthropic.requests import MessagesRequest
from mock_api.anthropic.wire import Block, BlockDelta, Event, InputJsonDelta, Message, TextDelta
from mock_api.frames import Frame


def frames(request: MessagesRequest, completion: Completion, digest: str) -> Iterator[Frame]:
    whole = answer(request, completion, digest)
    yield _frame({"type": "message_start", "message": _opening(whole)})
    pieces = [*([completion.pieces] if completion.pieces else []), *_arguments(completion)]
    for index, (block, parts) in enumerate(zip(whole["content"], pieces, strict=True)):
        start = _emptied(block)
        yield _frame({"type": "content_block_start", "index": index, "content_block": start})
        yield _frame({"type": "ping"})
        for piece in parts:
            yield _frame(_delta(index, piece, block["type"]), content=True)
        yield _frame({"type": "content_block_stop", "index": index})
    yield _frame(_closing(whole))
    yield _frame({"type": "message_stop"})


def _opening(whole: Message) -> Message:
    return {
        **whole,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage(whole["usage"]["input_tokens"], 1),
    }


def _emptied(block: Block) -> Block:
    if block["type"] == "text":
        return {"type": "text", "text": ""}
    return {"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}


def _arguments(completion: Completion) -> list[Sequence[str]]:
    return [call.pieces for call in completion.calls]


def _delta(index: int, piece: str, block: Literal["text", "tool_use"]) -> BlockDelta:
    delta: TextDelta | InputJsonDelta = (
        {"type": "text_delta", "text": piece}
        if block == "text"
        else {"type": "input_json_delta", "partial_json": piece}
    )
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _closing(whole: Message) -> Event:
    assert whole["stop_reason"] is not None  # noqa: S101 - null only at the start of a stream
    return {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]},
        "usage": {"output_tokens": whole["usage"]["output_tokens"]},
    }


def _frame(event: Event, *, content: bool = False) -> Frame:
    name = event["type"].encode()
    return Frame(b"event: " + name + b"\ndata: " + orjson.dumps(event) + b"\n\n", content)
