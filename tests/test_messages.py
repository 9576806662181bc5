"""The messages of Makefiles and shell scripts fit into a terminal of 80 columns.

They are read from the source: the texts after `echo`, `printf` and `fail`. A value that is filled in
counts as six characters.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import REPOSITORY

COLUMNS = 80
SOURCES = [
    *(REPOSITORY / name for name in ("Makefile", "template/Makefile")),
    *sorted((REPOSITORY / "template/scripts").rglob("*.sh")),
]

_COMMAND = re.compile(r"\b(?:echo|printf|fail) ")
_CALL = r'\$\((?:[^()"]|\([^()]*\)|"[^"]*")*\)'  # of make or of a shell
_TEXT = re.compile(rf'(?:\\\n|[ \t])*("(?:[^"\\$]|\\.|{_CALL}|\$)*"|\'[^\']*\')', re.DOTALL)
_VALUE = re.compile(rf"{_CALL}|\$\{{[^}}]*\}}|\$\$?\w+")


def messages(source: str) -> Iterator[str]:
    """The lines that the commands of a script print."""
    for command in _COMMAND.finditer(source):
        place = command.end()
        while (found := _TEXT.match(source, place)) is not None:
            yield from _VALUE.sub("------", found[1][1:-1]).splitlines()
            place = found.end()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_message_fits_into_80_columns(path: Path) -> None:
    lines = messages(path.read_text())
    assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param('echo "one" >&2', ["one"], id="echo"),
        pytest.param('printf \'%s\\n\' "one" "two"', ["%s\\n", "one", "two"], id="printf"),
        pytest.param('fail "one\ntwo: $HOW"', ["one", "two: ------"], id="two lines"),
        pytest.param('echo "make $(firstword $(GOALS) $@): no"', ["make ------: no"], id="make"),
        pytest.param(
            'echo "$(sed "s/a/b/" file) ${a:-b} $$c"', ["------ ------ ------"], id="values"
        ),
        pytest.param('[ -f "a very long name" ] || echo "b"', ["b"], id="no message"),
    ],
)
def test_a_message_is_read_as_it_is_printed(source: str, expected: list[str]) -> None:
    assert [*messages(source)] == expected


def test_most_scripts_print_something() -> None:
    """Otherwise the rule would hold because nothing is read."""
    assert sum(1 for path in SOURCES for _ in messages(path.read_text())) > 50
