"""The Git hook's search for keys: prints file, line and kind of each, and exits with 1 if there is one.

    python scripts/no_keys.py FILE…

It needs nothing but Python 3.11, no network and no environment. The rules for keys of vendors are
those of the log (`app.telemetry.key_rules`). Values of unknown form are keys after a name such as
`SERVICE_TOKEN=`, if they look random, and in the address of a server.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from app.telemetry.key_rules import entropy, found

ALLOW = "gitleaks:allow"
ADVICE = f"""
Keys are not committed: put them into .env (docs/secrets.md), and revoke a key that was published.
If this is no key, write {ALLOW} in a comment on the line; samples in tests have the word canary.
"""
_ALLOWED = re.compile(rb"(?i:canary|" + ALLOW.encode() + rb")")
_PLACEHOLDER = re.compile(rb"(?i:example|placeholder|changeme|xxxx|your[_-])")

# Shorter than in a log: a commit is searched once, and has no ids of requests.
_LONG = b"x" * 15
_SHOWN = 4
_PEM = re.compile(rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_URL = re.compile(rb"://[^\s/@:\"'\\]*:([^\s/@\"'\\<>{}$*%]{8,})@")
_ASSIGNED = re.compile(
    rb"(?i:key|token|secret|passw(?:or)?d|pwd|credentials?)\\?[\"'\]]{0,2}[ \t]{0,4}(?:=>|:=|[=:])"
    rb"[ \t]{0,4}(?P<quote>\\?[\"'])?(?P<value>[\w/+.=:~!#%^*-]{12,512})(?P<after>.?)"
)
# `settings.redis_v2`, `prompts/ask_2.toml`, `S3AccessPoints`: words with numbers. And ids.
_BETWEEN = re.compile(rb"[_./:=-]+")
_PART = re.compile(rb"\d+[a-z]?|(?:[A-Z]?[a-z]*|[A-Z]*)\d{0,4}[a-z]*(?:[A-Z][a-z]+)*")
_AN_ID = re.compile(rb"(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|sha\d+[:-].*)")
_LONG_VALUE = 24
_RANDOM = 3.5  # bits per character
_MIXED = 3  # kinds of characters


def main(files: Sequence[str]) -> int:
    refused = [line for file in files for line in keys_in(Path(file))]
    print("".join(f"{line}\n" for line in refused), end="")
    if refused:
        print(ADVICE)
    return 1 if refused else 0


def keys_in(file: Path) -> Iterator[str]:
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        for kind, value in () if _ALLOWED.search(line) else keys(line):
            shown = value[:_SHOWN].decode("ascii", "replace")
            yield f"{file}:{number}: {kind}: {shown}… ({len(value)} characters)"


def keys(line: bytes) -> Iterator[tuple[str, bytes]]:
    """Kind and value of each key in a line."""
    known = False
    for key in found(line, _LONG):
        value = line[key.start : key.end]
        if not _PLACEHOLDER.search(value):
            known = True
            yield key.kind, value
    if not known:
        yield from _of_unknown_form(line)


def _of_unknown_form(line: bytes) -> Iterator[tuple[str, bytes]]:
    if header := _PEM.search(line):
        yield "private-key", header.group()
    for url in _URL.finditer(line):
        if _has_letters_and_digits(url[1]) and not _PLACEHOLDER.search(url[1]):
            yield "password-in-address", url[1]
    for assigned in _ASSIGNED.finditer(line):
        if _looks_random(assigned):
            yield "value-of-a-secret", assigned["value"]


def _looks_random(assigned: re.Match[bytes]) -> bool:
    value = assigned["value"]
    called = assigned["quote"] is None and assigned["after"] in {b"(", b"[", b"{"}
    if called or _is_a_name(value) or _AN_ID.fullmatch(value):
        return False
    if _PLACEHOLDER.search(value) or not _has_letters_and_digits(value):
        return False
    if len(value) < _LONG_VALUE:
        return _kinds_of_characters(value) >= _MIXED and entropy(value) >= _RANDOM - 0.3
    return entropy(value) >= _RANDOM


def _is_a_name(value: bytes) -> bool:
    return all(_PART.fullmatch(part) for part in _BETWEEN.split(value))


def _has_letters_and_digits(value: bytes) -> bool:
    return bool(re.search(rb"[A-Za-z]", value) and re.search(rb"[0-9]", value))


def _kinds_of_characters(value: bytes) -> int:
    kinds = (rb"[a-z]", rb"[A-Z]", rb"[0-9]", rb"[!#%^*+~]")
    return sum(re.search(kind, value) is not None for kind in kinds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
