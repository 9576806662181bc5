"""Check the prose of this repository for words that hide the actor of a sentence.

Prose is: docstrings, comments, string literals and test names in Python; everything in Markdown,
configuration, Makefiles and shell scripts. "who", "nobody" and the like name no actor: write the
caller, the provider, the process, the operator. "what" is allowed, but rarely: a reader wants the
name of the thing. The rules with examples are in CONTRIBUTING.md.

Usage: python -m tools.words [--rates] [PATH…]      exit status 1 when a word is found
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ACTORLESS = re.compile(
    r"\b(who|whoever|whom|whose|nobody|somebody|everybody|anybody|nobody's|somebody's)\b",
    re.IGNORECASE,
)
VAGUE = re.compile(r"\b(what|whatever)\b", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
MAX_VAGUE_PER_1000 = 3.0

PROSE = {".md", ".toml", ".yml", ".yaml", ".jinja", ".example", ".mk", ".sh", ".json", ".py", ""}
# Text that others wrote or that a program made, and this file, which has to name the words.
LEFT_OUT = re.compile(
    r"(^|/)(requirements[\w-]*\.txt|[\w.-]*\.lock|LICENSE.*|CODE_OF_CONDUCT\.md|(test_)?words\.py"
    r"|reserved_names\.txt|.*\.ambr|cassettes/.*|corpus/.*|prices\.toml|key_rules\.json)$"
)
# A sentence in which the word is right: quoted speech, a title, input of a test.
ALLOWED = re.compile(r"words: allowed|Who may open|who are you", re.IGNORECASE)

Line = tuple[int, str]


def prose_of(path: Path) -> Iterator[Line]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    prose = _python(text) if path.suffix == ".py" else enumerate(lines, 1)
    for number, line in prose:
        if not ALLOWED.search(lines[number - 1]):
            yield number, line


def _python(text: str) -> Iterator[Line]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING} or token.type == getattr(
            tokenize, "FSTRING_MIDDLE", None
        ):
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name.replace("_", " ")


def files(paths: list[str]) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *paths], capture_output=True, check=True, text=True
    ).stdout
    found = [Path(name) for name in listed.split("\0") if name]
    return [p for p in found if p.suffix in PROSE and p.is_file() and not LEFT_OUT.search(str(p))]


def main(arguments: list[str]) -> int:
    rates = "--rates" in arguments
    words, vague, found = 0, 0, 0
    paths = files([argument for argument in arguments if not argument.startswith("-")])
    if not paths:
        print("words: no file to check: misspelt, or not known to Git")
        return 2
    for path in paths:
        for number, line in prose_of(path):
            words += len(WORD.findall(line))
            vague += len(VAGUE.findall(line))
            hits = ACTORLESS.findall(line)
            found += len(hits)
            if hits and not rates:
                print(f"{path}:{number}: {', '.join(hits)}: {line.strip()[:100]}")
    per_1000 = 1000 / max(words, 1)
    print(f"{found} words without an actor ({found * per_1000:.1f} per 1,000 of {words})")
    print(
        f"{vague} x what, whatever ({vague * per_1000:.1f} per 1,000; at most {MAX_VAGUE_PER_1000:g})"
    )
    return int(found > 0 or vague * per_1000 > MAX_VAGUE_PER_1000)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
