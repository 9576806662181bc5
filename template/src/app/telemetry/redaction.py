"""Mask what looks like a secret in a finished line: the last line of defence.

The first is `SecretStr`, and error messages in our own words. This one is for what nobody thought
of: a library that logs its headers, an exception that repeats a connection string.

Almost every line is clean, so a line is searched for a few short needles before any pattern looks
at it. Each pattern reads a line once, however the line is made: none can begin in the middle of
what it has read already.
"""

import re

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

# What lines rarely have, and the patterns that cannot match without one of these needles. A needle of
# one character is found five times as fast as a longer one. The first group of each pattern stays, so
# that a reader sees what kind of secret was there.
_Secrets = tuple[tuple[tuple[bytes, ...], tuple[re.Pattern[bytes], ...]], ...]

# OpenAI's and Anthropic's keys.
_MODEL_KEY = re.compile(_START + rb"(sk-)[A-Za-z0-9._~+/=-]{8,}")
_AWS_KEY = re.compile(_START + rb"(AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])")
_GOOGLE_KEY = re.compile(_START + rb"(AIza)[0-9A-Za-z_-]{35}")
_VAULT_TOKEN = re.compile(_START + rb"(hv[sbr]\.)[A-Za-z0-9_-]{20,}")
# A JSON Web Token: two parts that are JSON in base64, and a signature.
_WEB_TOKEN = re.compile(_START_OF_RUN + rb"(eyJ)[\w-]+\.eyJ[\w-]+\.[\w-]*")
# The password of a URL. Both parts end at a slash, so the next URL is not read twice.
_URL_PASSWORD = re.compile(rb"(://[^\s/@:\"'\\]*:)[^\s/@\"'\\]+(?=@)")
_BEARER = re.compile(_START + rb"([Bb]earer\s+)[A-Za-z0-9._~+/=-]{8,}")
# `password=x`, `"password": "x"`; in prose ("password: must be set") nothing is a secret.
_ASSIGNMENT = re.compile(
    rb"((?i:password|passwd|pwd|secret|api[_-]?key)"
    rb"(?:" + _QUOTE + rb"\s*:\s*(?:b?" + _QUOTE + rb")?|\s*=\s*(?:" + _QUOTE + rb")?))" + _VALUE
)
# Headers, as a text or as a pair of a printed list: `x-api-key: x`, `(b'x-api-key', b'x')`.
_HEADER = re.compile(
    rb"((?i:x-api-key|x-goog-api-key|authorization)(?:" + _QUOTE + rb")?\s*[:,]\s*"
    rb"(?:b?" + _QUOTE + rb")?(?i:basic\s+|bearer\s+)?)" + _VALUE
)

_AS_SPELLED: _Secrets = (
    ((b"sk-",), (_MODEL_KEY,)),
    ((b"A",), (_AWS_KEY, _GOOGLE_KEY)),
    ((b"hv",), (_VAULT_TOKEN,)),
    ((b"J",), (_WEB_TOKEN,)),
    ((b"@",), (_URL_PASSWORD,)),
    ((b"earer",), (_BEARER,)),
)
_IN_ANY_CASE: _Secrets = (
    ((b"passw", b"pwd", b"secret", b"key", b"authorization"), (_ASSIGNMENT, _HEADER)),
)


def masked(line: bytes) -> bytes:
    line = _without(_AS_SPELLED, line, line)
    return _without(_IN_ANY_CASE, line, line.lower())


def _without(secrets: _Secrets, line: bytes, searched: bytes) -> bytes:
    find = searched.find  # bytes know `in` too, at twice the price: they try a number first
    for needles, patterns in secrets:
        for needle in needles:
            if find(needle) >= 0:
                for pattern in patterns:
                    line = pattern.sub(rb"\1***", line)
                break
    return line
