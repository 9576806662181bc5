"""Which pieces belong to which tool call, as different servers tell it."""

import json
from dataclasses import dataclass

import pytest

from app.errors import MalformedAnswerError
from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.openai.convert import read_answer
from app.llm.providers.openai.streaming import StreamedCompletion
from tests.llm.answer_kinds import Event, block, completion, json_delta, streamed, tool_use
from tests.llm.samples import ANTHROPIC_STOP, OPENAI_DONE, JSONObject, anthropic_end, openai_delta

Calls = list[tuple[str, str]]
F, G = ("f", '{"x":1}'), ("g", '{"y":2}')


def piece(name: str | None = None, arguments: object = None, **more: object) -> JSONObject:
    return {**more, "function": {"name": name, "arguments": arguments}}


def of_openai(*pieces: JSONObject) -> Calls:
    deltas = [openai_delta({"tool_calls": [one]}) for one in pieces]
    events: list[Event] = [*deltas, openai_delta({}, "tool_calls"), OPENAI_DONE]
    return checked(streamed(StreamedCompletion("m"), events))


def checked(response: object) -> Calls:
    calls = response.tool_calls  # type: ignore[attr-defined]  # the stream is over
    ids = [call.id for call in calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    return [(call.name, call.arguments) for call in calls]


@dataclass(frozen=True)
class Pieces:
    pieces: list[JSONObject]
    calls: Calls


STREAMS = {
    "one index, two ids": Pieces([piece(*F, index=0, id="a"), piece(*G, index=0, id="b")], [F, G]),
    "one index, two ids, one name": Pieces(
        [
            piece("f", '{"x":', index=0, id="a"),
            piece(None, "1}", index=0),
            piece("f", '{"x":', index=0, id="b"),
            piece(None, "2}", index=0),
        ],
        [F, ("f", '{"x":2}')],
    ),
    "one index, two ids, interleaved": Pieces(
        [
            piece("f", '{"x":', index=0, id="a"),
            piece("f", '{"x":', index=0, id="b"),
            piece(None, "1}", index=0, id="a"),
            piece(None, "2}", index=0, id="b"),
        ],
        [F, ("f", '{"x":2}')],
    ),
    "one index, no ids": Pieces(
        [piece(*F, index=0), piece(*G, index=0), piece("g", '{"y":3}', index=0)],
        [F, G, ("g", '{"y":3}')],
    ),
    "no index": Pieces(
        [piece("f", "", id="a"), piece(None, '{"x":'), piece(None, "1}"), piece(*G, id="b")],
        [F, G],
    ),
    "no index, no id": Pieces([piece("f"), piece(None, F[1]), piece(*G)], [F, G]),
    "an index with the first piece only": Pieces(
        [piece("f", index=0, id="a"), piece(None, F[1])], [F]
    ),
    "interleaved by index": Pieces(
        [
            piece("f", index=0, id="a"),
            piece("g", index=1, id="b"),
            piece(None, '{"x":', index=0),
            piece(None, '{"y":', index=1),
            piece(None, "2}", index=1),
            piece(None, "1}", index=0),
        ],
        [F, G],
    ),
    "id and name repeated": Pieces(
        [piece("f", '{"x"', index=0, id="a"), piece("f", ":1}", index=0, id="a")], [F]
    ),
    "name repeated, no id": Pieces(
        [piece("f", "", index=0), piece("f", '{"x"', index=0), piece("f", ":1}", index=0)], [F]
    ),
    "id in another case": Pieces(
        [piece("f", '{"x"', index=0, id="Call_A"), piece("f", ":1}", index=0, id="call_a")], [F]
    ),
    "a new id for each piece": Pieces(
        [piece("f", '{"x"', index=0, id="a"), piece(None, ":1}", index=0, id="b")], [F]
    ),
    "one id for two calls": Pieces(
        [piece(*F, index=0, id="a"), piece(*G, index=1, id="a")], [F, G]
    ),
    "one id and index for two calls": Pieces(
        [piece(*F, index=0, id="a"), piece("f", '{"x":2}', index=0, id="a")],
        [F, ("f", '{"x":2}')],
    ),
    "the id comes later": Pieces([piece("f", index=0), piece(None, F[1], index=0, id="a")], [F]),
    "indices as text and as floats": Pieces(
        [piece("f", '{"x"', index="0", id="a"), piece(None, ":1}", index=0.0)], [F]
    ),
    "ids that are numbers": Pieces([piece(*F, index=0, id=1), piece(*G, index=0, id=2)], [F, G]),
    "arguments as an object": Pieces([piece("f", {"x": 1}, index=0, id="a")], [("f", '{"x": 1}')]),
    "two objects, one index": Pieces(
        [piece("f", {"x": 1}, index=0), piece("f", {"x": 2}, index=0)],
        [("f", '{"x": 1}'), ("f", '{"x": 2}')],
    ),
    "an empty object, then text": Pieces(
        [piece("f", {}, index=0, id="a"), piece(None, F[1], index=0)], [F]
    ),
    "no arguments": Pieces([piece("f", index=0, id="a")], [("f", "{}")]),
}


@pytest.mark.parametrize("case", STREAMS.values(), ids=STREAMS)
def test_streamed_pieces_become_the_calls_that_the_model_made(case: Pieces) -> None:
    assert of_openai(*case.pieces) == case.calls


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(None, "{}", index=0, id="a")],
        [piece(*F, index=0, id="a"), piece(None, "{}", index=1)],
    ],
    ids=["the only call", "the second call"],
)
def test_a_call_without_a_name_makes_the_answer_unusable(pieces: list[JSONObject]) -> None:
    with pytest.raises(MalformedAnswerError, match=r"tool_calls\[\d\]\.name: is missing"):
        of_openai(*pieces)


WHOLE = {
    "one index, two ids": Pieces([piece(*F, index=0, id="a"), piece(*G, index=0, id="b")], [F, G]),
    "no ids": Pieces([piece(*F), piece(*F)], [F, F]),
    "one id twice": Pieces([piece(*F, id="a"), piece(*G, id="a")], [F, G]),
    "an object": Pieces([piece("f", {"x": 1}, id="a")], [("f", '{"x": 1}')]),
    "null arguments": Pieces([piece("f", None, id="a")], [("f", "{}")]),
}


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_each_item_of_a_whole_answer_is_a_call(case: Pieces) -> None:

    body = completion({"content": None, "tool_calls": case.pieces}, "tool_calls")
    assert checked(read_answer(json.dumps(body).encode(), model="m")) == case.calls


def of_anthropic(*blocks: list[Event]) -> Calls:
    flat = [event for one in blocks for event in one]
    events = [*flat, anthropic_end("tool_use"), ANTHROPIC_STOP]
    return checked(streamed(StreamedMessage("m"), events))


def started(call_id: str, name: str, given: object) -> JSONObject:
    return {**tool_use(call_id, name, "{}"), "input": given}


def without_index(events: list[Event]) -> list[Event]:
    return [
        (n, {k: v for k, v in d.items() if k != "index"}) for n, d in events if isinstance(d, dict)
    ]


ANTHROPIC_STREAMS = {
    "two blocks, one index": (
        [
            block(0, started("a", "f", {}), json_delta(F[1])),
            block(0, started("b", "g", {}), json_delta(G[1])),
        ],
        [F, G],
    ),
    "input as text": ([block(0, started("a", "f", F[1]))], [F]),
    "input at the start only": ([block(0, started("a", "f", {"x": 1}))], [("f", '{"x": 1}')]),
    "input at the start and in deltas": (
        [block(0, started("a", "f", {"x": 1}), json_delta(F[1]))],
        [F],
    ),
    "a delta that is an object": (
        [block(0, started("a", "f", {}), {"type": "input_json_delta", "partial_json": {"x": 1}})],
        [("f", '{"x": 1}')],
    ),
    "no index": (
        [
            without_index(block(0, started("a", "f", {}), json_delta('{"x"'), json_delta(":1}"))),
            without_index(block(1, started("b", "g", {}), json_delta(G[1]))),
        ],
        [F, G],
    ),
    "the provider's own tool on the same index": (
        [
            block(0, started("a", "f", {}), json_delta(F[1])),
            block(0, tool_use("s", "search", "{}", "server_tool_use"), json_delta(G[1])),
        ],
        [F],
    ),
}


@pytest.mark.parametrize(("blocks", "calls"), ANTHROPIC_STREAMS.values(), ids=ANTHROPIC_STREAMS)
def test_anthropic_blocks_become_the_calls_that_the_model_made(
    blocks: list[list[Event]], calls: Calls
) -> None:
    assert of_anthropic(*blocks) == calls


def test_arguments_without_the_start_of_their_block_make_the_answer_unusable() -> None:
    with pytest.raises(MalformedAnswerError, match="name: is missing"):
        of_anthropic(block(0, started("a", "f", {}), json_delta(F[1]))[1:])
