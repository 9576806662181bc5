import json
import random
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.streaming import json_stream
from app.streaming.json_scanner import JSONScanner
from app.streaming.json_stream import JSONLimitError, StreamBuffer

SAMPLE = (
    'Sets {x | x > 0}, lists [see below], [TODO], a quote {" and a template: {{name}}.\n'
    'First {"a": "\\ud83d\\ude00 \\" \\\\ }{][", "b": [1, -2.5e+10, true, null, []]}, then\n'
    '```json\n[{"c": {}}, 0]\n```\n'
    'at once [1][2]{"d":"🏔\u2028"} and {{"e" : false}}. The end is cut: {"f": ["\\u00e'
)
VALUES = [
    '{"a": "\\ud83d\\ude00 \\" \\\\ }{][", "b": [1, -2.5e+10, true, null, []]}',
    '[{"c": {}}, 0]',
    "[1]",
    "[2]",
    '{"d":"🏔\u2028"}',
    '{"e" : false}',
]
REST = '{"f": ["\\u00e'


def read(*pieces: str) -> tuple[list[str], str]:
    buffer = StreamBuffer()
    values = [value for piece in pieces for value in buffer.feed(piece)]
    return values, buffer.finish()


def cut(text: str, cuts: list[int]) -> list[str]:
    return [text[a:b] for a, b in pairwise([0, *sorted(cuts), len(text)])]


def test_values_are_found_in_any_surrounding_text() -> None:
    assert read(SAMPLE) == (VALUES, REST)


def test_every_cut_into_two_pieces_gives_the_same_values() -> None:
    for at in range(len(SAMPLE) + 1):
        assert read(SAMPLE[:at], SAMPLE[at:]) == (VALUES, REST), at


def test_a_thousand_random_cuts_give_the_same_values() -> None:
    chance = random.Random(7)  # noqa: S311 - cuts, not secrets
    for _ in range(1000):
        cuts = chance.choices(range(len(SAMPLE)), k=chance.randrange(1, 60))
        assert read(*cut(SAMPLE, cuts)) == (VALUES, REST), cuts


def test_single_characters_give_the_same_values() -> None:
    assert read(*SAMPLE) == (VALUES, REST)


def test_a_value_is_given_out_with_its_last_character() -> None:
    buffer = StreamBuffer()
    assert buffer.feed('{"a": [1') == []
    assert buffer.feed("]") == []
    assert buffer.feed('} {"b"') == ['{"a": [1]}']
    assert buffer.finish() == '{"b"'


def test_after_the_end_nothing_is_left_over() -> None:
    buffer = StreamBuffer()
    buffer.feed('{"a')
    assert buffer.finish() == '{"a'
    assert buffer.finish() == ""
    assert buffer.feed('": 1} [2]') == ["[2]"]


@pytest.mark.parametrize(
    "prose",
    [
        pytest.param("1 true null 'x' \"y\" -3.5", id="scalars that stand alone"),
        pytest.param("} ] }} :, \\ \\u12", id="brackets that close nothing"),
        pytest.param("{'a': 1}", id="single quotes"),
        pytest.param('{"a": 1,}', id="a comma too many in an object"),
        pytest.param("[1,]", id="and in an array"),
        pytest.param("[,1]", id="a comma first"),
        pytest.param('{"a" 1}', id="no colon"),
        pytest.param('{"a": 1: 2}', id="a colon too many"),
        pytest.param("{1: 2}", id="a number for a name"),
        pytest.param("{true}", id="a word for a name"),
        pytest.param("[1 2]", id="no comma"),
        pytest.param("[1}", id="crossed brackets"),
        pytest.param('{"a": 1]', id="crossed the other way"),
        pytest.param("[01]", id="a zero in front"),
        pytest.param("[1.]", id="nothing behind the point"),
        pytest.param("[.5]", id="nothing before it"),
        pytest.param("[+1]", id="a plus"),
        pytest.param("[1e]", id="no exponent"),
        pytest.param("[NaN]", id="not a number"),
        pytest.param("[tru]", id="half a word"),
        pytest.param("[nulll]", id="a word and more"),
        pytest.param("[٣]", id="a digit of another script"),
        pytest.param('["a\nb"]', id="a line break in a string"),
        pytest.param('["\\x41"]', id="an escape that does not exist"),
        pytest.param('["\\u12g4"]', id="a digit that is none"),
        pytest.param("[\xa01]", id="a space that JSON does not know"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2], ids=["whole", "in single characters"])
def test_text_that_is_not_json_is_skipped_and_hides_no_value(prose: str, pieces: int) -> None:
    text = f'{prose} {{"a": 1}}'
    assert read(*([text] if pieces == 1 else text)) == (['{"a": 1}'], "")


def test_a_quote_behind_a_bracket_hides_nothing() -> None:
    assert read('A brace {" in quotes, then {"a": [1]}.') == (['{"a": [1]}'], "")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_value_that_is_too_long_is_refused(size: int) -> None:
    text = '[1] {"a": "' + "x" * 100 + '"}'
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    buffer = StreamBuffer(max_chars=100)
    with pytest.raises(JSONLimitError, match="longer than 100 characters"):
        [buffer.feed(piece) for piece in pieces]


def test_the_limit_is_per_value_and_prose_is_not_limited() -> None:
    value = '{"a": "' + "x" * 91 + '"}'
    assert len(value) == 100
    buffer = StreamBuffer(max_chars=100)
    assert buffer.feed((value + "prose" * 100) * 20) == [value] * 20


@pytest.mark.parametrize("size", [1, 50, 100])
def test_a_value_may_be_as_long_as_the_limit_however_it_is_cut(size: int) -> None:
    value = '{"a": "' + "x" * 91 + '"}'
    buffer = StreamBuffer(max_chars=len(value))
    found = [buffer.feed(value[at : at + size]) for at in range(0, len(value), size)]
    assert found[-1] == [value]


def test_a_value_that_is_nested_too_deep_is_refused() -> None:
    buffer = StreamBuffer(max_depth=3)
    assert buffer.feed("[[[]]] [[],[]]") == ["[[[]]]", "[[],[]]"]
    with pytest.raises(JSONLimitError, match="deeper than 3"):
        buffer.feed('[{"a": [[')


PROSE = st.text(st.characters(exclude_characters="{}[]", exclude_categories=["Cs"]), max_size=30)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, list | dict))
FENCE = st.sampled_from(["", "```json\n", "\n```\n", "~~~"])


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_values_in_any_prose_come_back_exactly(data: st.DataObject) -> None:
    values = data.draw(st.lists(VALUE, max_size=4))
    ascii_only = data.draw(st.booleans())
    text = data.draw(PROSE)
    for value in values:
        written = json.dumps(
            value, ensure_ascii=ascii_only, indent=data.draw(st.none() | st.just(1))
        )
        text += data.draw(FENCE) + written + data.draw(FENCE) + data.draw(PROSE)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=20))
    found, rest = read(*cut(text, cuts))
    assert [json.loads(value) for value in found] == values
    assert rest == ""


@hypothesis_settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text('{}[]":,\\u0a1 \nnul', max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_found_values_are_valid_json_at_any_cut(text: str, cuts: list[int]) -> None:
    found, rest = read(text)
    assert [type(json.loads(value)) in {list, dict} for value in found] == [True] * len(found)
    assert text.endswith(rest)
    assert read(*cut(text, [at for at in cuts if at <= len(text)])) == (found, rest)


HOSTILE = {
    "a list without an end": "[1,2,3,",
    "objects without an end": '{"a":',
    "a quote behind every bracket": '{"a {"b": "c [" , ',
    "every other bracket in a string": '["[" x',
    "templates": '{{"a": {',
    "brackets": "[" * 20 + "x",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_no_character_is_read_more_than_three_times(
    monkeypatch: pytest.MonkeyPatch, unit: str, size: int
) -> None:
    """Counted, because times differ between machines."""
    read_chars = 0

    class Counted(JSONScanner):
        def scan(self, text: str, at: int, end: int, start: int) -> int:
            nonlocal read_chars
            stop = super().scan(text, at, end, start)
            read_chars += stop - at
            return stop

    monkeypatch.setattr(json_stream, "JSONScanner", Counted)
    text = unit * (5000 // len(unit))
    buffer = StreamBuffer(max_depth=len(text))
    for at in range(0, len(text), size):
        buffer.feed(text[at : at + size])
    assert 0 < read_chars <= 3 * len(text)


def cost_s_per_char(size: int) -> float:
    item = {"id": 7, "name": 'A "quoted" näme 😀 \\', "values": [1.5, None, True, {}]}
    text = json.dumps([item] * (size // len(json.dumps(item))))
    chance = random.Random(7)  # noqa: S311 - cuts, not secrets
    pieces, at = [], 0
    while at < len(text):
        pieces.append(text[at : (at := at + chance.randint(1, 50))])
    started = time.process_time()
    read(*pieces)
    return (time.process_time() - started) / len(text)


@pytest.mark.slow
def test_the_cost_per_character_is_the_same_for_ten_kilobytes_and_a_megabyte() -> None:
    small = min(cost_s_per_char(10_000) for _ in range(30))
    large = min(cost_s_per_char(1_000_000) for _ in range(5))
    assert large <= 1.5 * small
