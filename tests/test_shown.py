"""Pages with commands: how they are read, and that a wrong output is noticed."""

import re

import pytest

from tests.engines import REPOSITORY
from tests.shown import Change, Step, steps

FIRST_DAY = (REPOSITORY / "template/docs/first-day.md").read_text()
PAGE = """
```console
$ echo one
one
$ true
```

```diff
-one
+two
```

```console
$ make break
make: *** [Makefile:1: break] Error 2
```
"""


def test_a_page_is_commands_with_their_outputs_and_changes() -> None:
    assert [*steps(PAGE)] == [
        Step("echo one", "one\n"),
        Step("true", ""),
        Change("-one\n+two\n"),
        Step("make break", "make: *** [Makefile:1: break] Error 2\n"),
    ]
    assert [step.fails for step in steps(PAGE) if isinstance(step, Step)] == [False, False, True]


@pytest.mark.parametrize(
    ("shown", "output", "matches"),
    [
        pytest.param("one\ntwo\n", "zero\none\ntwo\nthree\n", True, id="lines-in-a-row"),
        pytest.param("one\ntwo\n", "one\nand\ntwo\n", False, id="a-line-between"),
        pytest.param("one\n…\ntwo\n", "one\nand\nalso\ntwo\n", True, id="lines-left-out"),
        pytest.param("one\n…\ntwo\n", "one\ntwo\n", True, id="no-lines-left-out"),
        pytest.param("two\n…\none\n", "one\ntwo\n", False, id="another-order"),
        pytest.param("took … s\n", "took 0.25 s\n", True, id="a-part-left-out"),
        pytest.param("a … c\n", "a \nb c\n", False, id="a-part-is-on-one-line"),
        pytest.param("one\n", "one more\n", False, id="a-line-that-goes-on"),
        pytest.param("one\n", "no one\n", False, id="the-end-of-a-line"),
        pytest.param("(1.5)\n", "(1x5)\n", False, id="no-pattern"),
        pytest.param("", "anything\n", True, id="nothing-is-shown"),
    ],
)
def test_an_output_is_compared_line_by_line(shown: str, output: str, *, matches: bool) -> None:
    assert Step("true", shown).matches(output) is matches


def test_the_first_day_has_ten_steps_with_a_command_each() -> None:
    numbers, texts = [], []
    for section in re.split(r"^## ", FIRST_DAY, flags=re.MULTILINE)[1:]:
        numbers.append(section.partition(".")[0])
        texts.append(section)
    assert numbers == [str(number) for number in range(1, 11)]
    assert all(any(isinstance(step, Step) for step in steps(text)) for text in texts)
