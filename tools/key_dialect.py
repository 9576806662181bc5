"""Turn the expressions of a rule (the dialect of Go and Rust) into parts that Python can match at one place.

A rule is a *form*, with a beginning that no ordinary text has (`ghp_…`), or it is *named*: a value
of no special form after the name of a vendor and a sign (`COHERE_API_KEY=…`). Rules of any other
kind would have to be searched in the whole text, and are left out.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

# The library's own parser: not public, and the only way to read an expression without another one.
code: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

# The service looks up a beginning of this length in a dictionary.
START = 3
_MOST_STARTS = 64
_MOST = 4096  # characters of a key: a repeat without a bound could read a long text again and again

# `name["' ]=["' ](value)`, the frame that all named rules have.
_NAMED = re.compile(
    r"^(?P<names>(?:\(\?i\)|\(\?i:)?(?:\\b)?(?:\[\\w\.-\]\{0,50\}\?)?\(\?:.*?\))"
    r"\(\?:\[ \\t\\w\.-\]\{0,20\}\)\[\\s'\"\]\{0,3\}\)?"
    r"\(\?:=\|>\|.*?\)\[\\x60'\"\\s=\]\{0,5\}\((?P<value>.*)\)\(\?:\\\\\?\['\"\\x60\].*\)$"
)
_BEFORE_NAMES = re.compile(r"^(?P<flag>\(\?i\)|\(\?i:)?(?:\\b)?(?:\[\\w\.-\]\{0,50\}\?)?")
# What a rule expects before and after a key. The service looks there itself.
_LEADS = (
    r"\b",
    r"(?:^|[^A-Za-z0-9_-])",
    r"(?:\A|(?:[\x00-,\./:-@\[-\^`\{-\xFF]))",
    r"(?:https?://)?",
)
_ENDS = (
    r"""(?:\\?['"\x60]|[\s;]|\\[nr]|$)""",
    r"""(?:[\x60'"\s;]|\\[nr]|$|\b)""",
    r"""(?:(?:\\?(?:["'`]))|(?:[\x09-\x0D\x20;])|(?:\\(?:[NRnr]))|\z)""",
    r"""(?:(?:\\?(?:["'`]))|(?:[\x09-\x0D\x20;])|(?:\\(?:[nr]))|\z)""",
    r"(?:$|[^A-Za-z0-9_-])",
    r"(?:[^A-Za-z0-9_-]|$)",
    r"(?:[^\w-]|\z)",
    r"(?:[^\w\/+=-]|\z)",
    r"(?:[^a-zA-Z0-9+/]|\z)",
    r"\b",
)
_BEYOND_A_WORD = ("ANY", "NEGATE", "NOT_", "CATEGORY_SPACE", "AT_BEGINNING", "AT_END")
# `hooks.slack.com`: a point between letters is a point.
_POINT = re.compile(r"(?<=[a-z])\.(?=[a-z])")
_NO_MORE = "(?![A-Za-z0-9])"


class Form(NamedTuple):
    """The starts are the first characters of every text that the pattern matches."""

    starts: list[str]
    pattern: str


class Named(NamedTuple):
    """The starts are those of the names, in lower case."""

    starts: list[str]
    name: str
    value: str


def split(expression: str) -> Form | Named | None:
    expression = _POINT.sub(r"\.", expression)
    found = _NAMED.match(expression)
    part = _named(found["names"], found["value"]) if found else _form(expression)
    return part if part is not None and part.starts else None


def _named(names: str, value: str) -> Named | None:
    before = _BEFORE_NAMES.match(names)
    assert before is not None  # noqa: S101 - each part of it is optional
    ignored = before["flag"] is not None
    name = names[before.end() :]
    if value.startswith('"'):
        return None  # the quotes belong to the sign
    if before["flag"] == "(?i)":
        value = f"(?i:{value})"
    starts = starts_of(f"(?i:{name})" if ignored else name) or ()
    return Named(
        sorted({start.lower() for start in starts}), name.lower(), _scoped(value) + _NO_MORE
    )


def _form(expression: str) -> Form | None:
    ignored = expression.startswith("(?i)")
    pattern, ended = _bare(expression.removeprefix("(?i)"))
    pattern = f"(?i:{pattern})" if ignored else pattern
    pattern = _scoped(pattern)
    starts = starts_of(pattern) if _is_one_word(pattern) else None
    return None if starts is None else Form(starts, pattern + _NO_MORE * ended)


def _is_one_word(pattern: str) -> bool:
    """Whether a key of this form has no spaces and no text of any other kind inside."""
    try:
        parsed = str(parser.parse(_python(pattern)))
    except re.error:
        return False
    return not any(each in parsed for each in _BEYOND_A_WORD)


def _bare(pattern: str) -> tuple[str, bool]:
    """The expression of the key alone, and whether it must end there."""
    ended = False
    before = None
    while before != pattern:
        before = pattern
        for lead in _LEADS:
            pattern = pattern.removeprefix(lead)
        for end in _ENDS:
            if pattern.endswith(end) and not pattern.endswith("\\" + end):
                pattern, ended = pattern.removesuffix(end), True
        pattern = _without_group(pattern)
    return pattern, ended


def _without_group(pattern: str) -> str:
    """Without a group around the whole expression."""
    if not (pattern.startswith("(") and pattern.endswith(")")):
        return pattern
    inner = re.sub(r"^\((\?:|\?P<\w+>)?(?!\?)", "", pattern)[:-1]
    try:
        re.compile(_python(inner))
    except re.error:
        return pattern
    return pattern if "|" in _outside_groups(inner) else inner


def _outside_groups(pattern: str) -> str:
    plain = re.sub(r"\\.|\[(?:\\.|[^\]])*\]", "", pattern)
    while (inner := re.sub(r"\([^()]*\)", "", plain)) != plain:
        plain = inner
    return plain


def _python(pattern: str) -> str:
    return _scoped(pattern).replace(r"\z", r"\Z")


def _scoped(pattern: str) -> str:
    """Flags in the middle of an expression hold until the end of their group: `(?i)x` is `(?i:x)`."""
    pattern = pattern.replace("[[:alnum:]]", "[a-zA-Z0-9]")
    pattern = re.sub(r"\{(\d+),\}", rf"{{\1,{_MOST}}}", pattern)
    while (at := pattern.find("(?i)")) >= 0:
        end = _end_of_group(pattern, at + len("(?i)"))
        pattern = f"{pattern[:at]}(?i:{pattern[at + 4:end]}){pattern[end:]}"
    return pattern


def _end_of_group(pattern: str, at: int) -> int:
    depth = 0
    for token in re.finditer(r"\\.|\[(?:\\.|[^\]])*\]|[()]", pattern[at:]):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if depth < 0:
            return at + token.start()
    return len(pattern)


def starts_of(pattern: str) -> list[str] | None:
    """The first characters of all texts that match, or None if these are too many."""
    try:
        found = _beginnings(list(parser.parse(_python(pattern))), ignoring_case=False)
    except (re.error, _TooManyError):
        return None
    return sorted(found) if all(len(each) == START for each in found) else None


class _TooManyError(Exception):
    pass


def _beginnings(items: Sequence[tuple[Any, Any]], *, ignoring_case: bool) -> set[str]:
    found = {""}
    for operation, argument in items:
        if all(len(each) >= START for each in found):
            break
        texts = _texts(operation, argument, ignoring_case=ignoring_case)
        found = {(a + b)[:START] for a, b in itertools.product(found, texts)}
        if len(found) > _MOST_STARTS:
            raise _TooManyError
    return found


def _texts(operation: object, argument: Any, *, ignoring_case: bool) -> Iterable[str]:
    if operation is code.LITERAL:
        return _cases(chr(argument), ignoring_case=ignoring_case)
    if operation is code.IN:
        return set().union(*(_members(*each, ignoring_case=ignoring_case) for each in argument))
    if operation is code.SUBPATTERN:
        _, added, removed, inner = argument
        ignoring = (ignoring_case or bool(added & re.IGNORECASE)) and not removed & re.IGNORECASE
        return _beginnings(list(inner), ignoring_case=ignoring)
    if operation is code.BRANCH:
        return set().union(
            *(_beginnings(list(each), ignoring_case=ignoring_case) for each in argument[1])
        )
    if operation is code.MAX_REPEAT and argument[0] > 0:
        least, most, inner = argument
        once = _beginnings(list(inner), ignoring_case=ignoring_case)
        found = {"".join(each) for each in itertools.product(once, repeat=min(least, START))}
        if least == most or all(len(each) >= START for each in found):
            return found
    raise _TooManyError


def _members(operation: object, argument: Any, *, ignoring_case: bool) -> set[str]:
    if operation is code.LITERAL:
        return _cases(chr(argument), ignoring_case=ignoring_case)
    if operation is code.RANGE:
        characters = (chr(each) for each in range(argument[0], argument[1] + 1))
        return set().union(*(_cases(each, ignoring_case=ignoring_case) for each in characters))
    raise _TooManyError


def _cases(character: str, *, ignoring_case: bool) -> set[str]:
    return {character.lower(), character.upper()} if ignoring_case else {character}
