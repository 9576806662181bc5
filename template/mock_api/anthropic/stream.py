"""A completion as Anthropic's stream: message_start, one block of deltas, message_delta, message_stop."""

from collections.abc import Iterator

import orjson

from mock_api.answers import Completion
from mock_api.anthropic.messages import answer, usage
from mock_api.anthropic.requests import MessagesRequest
from mock_api.anthropic.wire import Block, BlockDelta, Event, Message
from mock_api.reply import Frame


def frames(request: MessagesRequest, completion: Completion, digest: str) -> Iterator[Frame]:
    whole = answer(request, completion, digest)
    yield _frame({"type": "message_start", "message": _opening(whole)})
    for block in whole["content"]:
        yield _frame({"type": "content_block_start", "index": 0, "content_block": _emptied(block)})
        yield _frame({"type": "ping"})
        for piece in completion.pieces:
            yield _frame(_delta(piece, completion), content=True)
        yield _frame({"type": "content_block_stop", "index": 0})
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


def _delta(piece: str, completion: Completion) -> BlockDelta:
    if completion.tool is None:
        return {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": piece},
        }
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": piece},
    }


def _closing(whole: Message) -> Event:
    assert whole["stop_reason"] is not None  # noqa: S101 - null only in an opening
    return {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]},
        "usage": {"output_tokens": whole["usage"]["output_tokens"]},
    }


def _frame(event: Event, *, content: bool = False) -> Frame:
    name = event["type"].encode()
    return Frame(b"event: " + name + b"\ndata: " + orjson.dumps(event) + b"\n\n", content)
