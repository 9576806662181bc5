import pytest

from mock_api import tokens

TEXTS = [
    pytest.param("", 0, id="empty"),
    pytest.param("Hello, world!", 4, id="punctuation"),
    pytest.param("  two  words \n", 3, id="whitespace"),
    pytest.param("naïve 東京 🦊", 3, id="unicode"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_pieces_are_counted_and_lose_nothing(text: str, expected: int) -> None:
    pieces = tokens.split(text)
    assert "".join(pieces) == text
    assert len(pieces) == tokens.count(text) == expected
