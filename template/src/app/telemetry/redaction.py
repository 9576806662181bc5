"""Mask secrets in a finished text: known secrets by value, and others by patterns of secrets.

This is the second line of defence, after `SecretStr` and error messages in our own words. It
handles a library that logs its headers, an exception that contains a connection string, a provider
that repeats the key it received, and a key that a user pasted into a prompt.

The patterns here are for keys that are cut off, and for values of any form after a name such as
`password=`. Keys of vendors are found by `key_rules`, in a text with a long word that is no id.

Almost every line has no secret. So a line is first searched for a few short strings ("needles"),
and a pattern runs only if a needle is found. Each pattern reads a line once, because no pattern can
begin in the middle of text that it has already read.
"""

import re
from collections.abc import Iterable

from app.telemetry.key_rules import ESCAPED, ID, LONG, WORDS, masked_keys
from app.telemetry.known_secrets import KNOWN

_START = rb"(?:(?<![A-Za-z0-9])" + ESCAPED
_START_OF_RUN = rb"(?:(?<![\w-])" + ESCAPED
_QUOTE = rb"\\*[\"']"
_VALUE = rb"[^\s\"'\\&,;<>{}\x1b]+"

# Needles that most lines do not contain, and the patterns that can match only if a needle is there.
# A needle of one character is found five times as fast as a longer one. The first group of each
# pattern is kept, so that the reader sees the kind of secret.

# OpenAI's and Anthropic's keys. The `*` is for keys that are partly masked by value already.
_MODEL_KEY = re.compile(_START + rb"(sk-)[A-Za-z0-9._~+/=*-]{8,}")
_AWS_KEY = re.compile(_START + rb"(AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])")
_GOOGLE_KEY = re.compile(_START + rb"(AIza)[0-9A-Za-z_-]{35}")
_VAULT_TOKEN = re.compile(_START + rb"(hv[sbr]\.)[A-Za-z0-9_-]{20,}")
# A JSON Web Token: two parts of base64-encoded JSON, and a signature.
_WEB_TOKEN = re.compile(_START_OF_RUN + rb"(eyJ)[\w-]+\.eyJ[\w-]+\.[\w-]*")
# The password of a URL. User and password end at a slash, so the next URL is not read twice.
_URL_PASSWORD = re.compile(rb"(://[^\s/@:\"'\\]*:)[^\s/@\"'\\]+(?=@)")
_BEARER = re.compile(_START + rb"([Bb]earer\s+)[A-Za-z0-9._~+/=*-]{8,}")
# Base64 has a digit, a sign, padding, or a capital inside a word; `basic understanding` has none.
_BASIC = re.compile(
    _START + rb"(Basic\s+)(?=[A-Za-z]*[0-9+/=]|[A-Z]*[a-z]+[A-Z])[A-Za-z0-9+/_=-]{8,}"
)
_NAMES = rb"(?i:password|passwd|pwd|secret|(?:api|access|account)[ _-]?key)"
# `password=x`, `"password": "x"`; prose ("password: must be set") contains no secret.
_ASSIGNMENT = re.compile(
    rb"(" + _NAMES + rb"(?:" + _QUOTE + rb"\s*:\s*(?:b?" + _QUOTE + rb")?"
    rb"|\s*=\s*(?:" + _QUOTE + rb")?))" + _VALUE
)
# `api_key: x1y2z3`, without quotes: a value contains a digit or a sign, a word of prose does not.
_MENTION = re.compile(
    rb"(" + _NAMES + rb"\s*:\s+)(?=[^\s\d!$%^*+_#~\"'\\&,;<>{}\x1b]*[\d!$%^*+_#~])"
    rb"(?=[^\s]{6})" + _VALUE
)
# `token=x`, `"token": "x"`; a number is not masked, because it is a count of tokens.
_TOKEN_SIGN = re.compile(rb"token[=\"'\\]")
_TOKEN = re.compile(
    rb"((?i:token)(?:" + _QUOTE + rb"\s*:\s*(?:b?" + _QUOTE + rb")?|=(?:" + _QUOTE + rb")?))"
    rb"(?![\d.]+(?![\w.]|:\w))" + _VALUE
)
# Headers, as text or as a pair in a printed list: `x-api-key: x`, `(b'x-api-key', b'x')`.
_HEADER = re.compile(
    rb"((?i:x-api-key|x-goog-api-key|authorization)(?:" + _QUOTE + rb")?\s*[:,]\s*"
    rb"(?:b?" + _QUOTE + rb")?(?i:basic\s+|bearer\s+)?)" + _VALUE
)
# A private key in PEM, also as JSON or Python write its lines, and also without its end.
_PEM = re.compile(
    rb"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)(?:[^-\"'<\\]|\\+[nrt]|-(?!----))+"
)

_AS_SPELLED: tuple[tuple[bytes, tuple[re.Pattern[bytes], ...]], ...] = (
    (b"sk-", (_MODEL_KEY,)),
    (b"A", (_AWS_KEY, _GOOGLE_KEY)),
    (b"hv", (_VAULT_TOKEN,)),
    (b"J", (_WEB_TOKEN,)),
    (b"@", (_URL_PASSWORD,)),
    (b"earer", (_BEARER,)),
    (b"B", (_BASIC,)),
    (b"-----B", (_PEM,)),
)
_NEEDLES_IN_ANY_CASE = (b"passw", b"pwd", b"secret", b"key", b"authorization")


def masked(line: bytes) -> bytes:
    """Mask a line of the log."""
    return _without_patterns(KNOWN.hide_in_line(line))


def masked_text(text: str) -> str:
    """Mask a text for a caller or a trace. Half a surrogate pair becomes an escape."""
    line = KNOWN.hide_bytes(text.encode("utf-8", "backslashreplace"))
    return _without_patterns(line).decode()


def preview(text: str, chars: int) -> str:
    """The beginning of a text, masked before it is cut, because half a key is not recognised."""
    return masked_text(text[: chars + 1024])[:chars]


def _without_patterns(line: bytes) -> bytes:
    find = line.find  # `in` takes twice as long for bytes: it first tries a number
    for needle, patterns in _AS_SPELLED:
        if find(needle) >= 0:
            line = _masked_by(patterns, line)
    lowered = line.lower()
    find = lowered.find
    at = find(b"token")
    if at >= 0 and _TOKEN_SIGN.search(lowered, at):
        line = _TOKEN.sub(rb"\1***", line)
    for needle in _NEEDLES_IN_ANY_CASE:
        if find(needle) >= 0:
            line = _masked_by((_ASSIGNMENT, _MENTION, _HEADER), line)
            break
    words = line.translate(WORDS)
    at = words.find(LONG)
    while at >= 0:
        word = ID.match(line, at)
        if word is None:
            return masked_keys(line)
        at = words.find(LONG, word.end())
    return line


def _masked_by(patterns: Iterable[re.Pattern[bytes]], line: bytes) -> bytes:
    for pattern in patterns:
        line = pattern.sub(rb"\1***", line)
    return line
