"""Mask what looks like a secret in a finished line: the last line of defence.

The first is `SecretStr`, and error messages in our own words. This one is for what nobody thought
of: a library that logs its headers, an exception that repeats a connection string.

Almost every line is clean, so a line is searched for a few short needles before any pattern looks
at it. Each pattern reads a line once, however the line is made: none can begin in the middle of
what it has read already.
"""

import re
from dataclasses import dataclass

# A key begins where a word begins. In a finished line that is also after an escape of JSON, whose
# last character is a letter, and after a colour of a terminal, as it is or escaped.
_ESCAPED = (
    rb"|(?<=\\[bfnrt])|(?<=\\u00[0-9a-f]{2})"
    rb"|(?<=\x1b\[\dm)|(?<=\x1b\[\d\dm)|(?<=\\u001b\[\dm)|(?<=\\u001b\[\d\dm))"
)
_START = rb"(?:(?<![A-Za-z0-9])" + _ESCAPED
_START_OF_RUN = rb"(?:(?<![\w-])" + _ESCAPED
_QUOTE = rb"\\*[\"']"
_VALUE = rb"[^\s\"'\\&,;<>{}\x1b]+"


@dataclass(frozen=True, slots=True)
class _Secret:
    """`needles` are in lower case; without one of them in the line, `pattern` cannot match."""

    needles: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


def _secret(pattern: bytes, *needles: bytes) -> _Secret:
    return _Secret(needles, re.compile(pattern))


# The first group of each pattern stays, so that a reader sees what kind of secret was there.
_SECRETS = (
    # OpenAI's and Anthropic's keys, and anything sent as a bearer token.
    _secret(_START + rb"(sk-|[Bb]earer\s+)[A-Za-z0-9._~+/=-]{8,}", b"sk-", b"bearer"),
    _secret(_START + rb"(AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])", b"akia", b"asia"),
    _secret(_START + rb"(AIza)[0-9A-Za-z_-]{35}", b"aiza"),
    _secret(_START + rb"(hv[sbr]\.)[A-Za-z0-9_-]{20,}", b"hv"),
    # A JSON Web Token: two parts that are JSON in base64, and a signature.
    _secret(_START_OF_RUN + rb"(eyJ)[\w-]+\.eyJ[\w-]+\.[\w-]*", b"eyj"),
    # The password of a URL. Both parts end at a slash, so the next URL is not read twice.
    _secret(rb"(://[^\s/@:\"'\\]*:)[^\s/@\"'\\]+(?=@)", b"@"),
    # `password=x`, `"password": "x"`; in prose ("password: must be set") nothing is a secret.
    _secret(
        rb"((?i:password|passwd|pwd|secret|api[_-]?key|access[_-]?token)"
        rb"(?:"
        + _QUOTE
        + rb"\s*:\s*(?:b?"
        + _QUOTE
        + rb")?|\s*=\s*(?:"
        + _QUOTE
        + rb")?))"
        + _VALUE,
        b"passw",
        b"pwd",
        b"secret",
        b"key",
        b"access",
    ),
    # Headers, as a text or as a pair of a printed list: `x-api-key: x`, `(b'x-api-key', b'x')`.
    _secret(
        rb"((?i:x-api-key|x-goog-api-key|x-vault-token|authorization)"
        rb"(?:"
        + _QUOTE
        + rb")?\s*[:,]\s*(?:b?"
        + _QUOTE
        + rb")?(?i:basic\s+|bearer\s+)?)"
        + _VALUE,
        b"x-",
        b"authorization",
    ),
)


def masked(line: bytes) -> bytes:
    lowered = line.lower()
    find = lowered.find  # bytes know `in` too, at twice the price: they try a number first
    for secret in _SECRETS:
        for needle in secret.needles:
            if find(needle) >= 0:
                line = secret.pattern.sub(rb"\1***", line)
                break
    return line
