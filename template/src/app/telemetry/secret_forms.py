"""The forms in which a secret can appear in text: plain, escaped, URL-encoded, in base64."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

# Shorter values occur in ordinary words; masking them would make texts unreadable.
MIN_CHARS = 4

# Words that clients send as the key of a server that checks no key. They are not secrets, and
# masking them would damage texts: "true" in any JSON, "ollama" as the name of a provider.
PLACEHOLDERS = frozenset(
    {
        *("mock", "none", "null", "true", "false", "test", "dummy", "empty", "fake", "token"),
        *("ollama", "vllm", "lm-studio", "placeholder", "unused", "not-needed", "no-key"),
        *("no-key-needed", "no-key-required", "sk-no-key-required"),
    }
)

# Shorter pieces of base64 occur by chance in other base64.
_MIN_BASE64_CHARS = 6
_ESCAPED_BYTE = re.compile(r"%[0-9A-F]{2}")
_HEX = re.compile(r"[0-9A-Fa-f-]+")


def is_maskable(value: str) -> bool:
    return len(value) >= MIN_CHARS and value.lower() not in PLACEHOLDERS


def spellings(value: str) -> set[str]:
    """The value as plain text and as in URLs, JSON, HTML and Python. Often these are all equal."""
    values = {value}
    if _HEX.fullmatch(value):  # upper and lower case letters mean the same
        values |= {value.lower(), value.upper()}
    in_urls = {form for each in values for form in _in_urls(each)}
    printed = {form for each in in_urls for form in _printed(each)}
    return printed | {form for each in printed for form in _in_json(each)}


def in_base64(value: str) -> set[str]:
    """The middle of the value in base64, for each of the three offsets at which it can begin.

    `Authorization: Basic` encodes `user:key`, so the characters before the key are unknown.
    """
    data = value.encode("utf-8", "surrogatepass")
    forms = {_encoded_middle(data, before) for before in range(3)}
    forms |= {form.replace("+", "-").replace("/", "_") for form in forms}
    return {form for form in forms if len(form) >= _MIN_BASE64_CHARS}


def _encoded_middle(data: bytes, before: int) -> str:
    """The characters that depend on the value alone. Those at both ends also depend on the text around it."""
    encoded = base64.b64encode(bytes(before) + data).decode()
    return encoded[-(-8 * before // 6) : 8 * (before + len(data)) // 6]


def _in_urls(value: str) -> set[str]:
    forms = {quote(value, safe="", errors="replace"), quote(value, errors="replace")}
    forms.add(quote_plus(value, errors="replace"))
    forms |= {_ESCAPED_BYTE.sub(lambda found: found.group().lower(), form) for form in forms}
    return {value, *forms}


def _printed(value: str) -> set[str]:
    return {value, repr(value)[1:-1], html.escape(value), html.escape(value, quote=False)} | (
        _in_json(value)
    )


def _in_json(value: str) -> set[str]:
    texts = {_json(value, ascii_only=True), _json(value, ascii_only=False)}
    return texts | {text.replace("/", "\\/") for text in texts}


def _json(value: str, *, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only)[1:-1]


def pattern(forms: set[str]) -> re.Pattern[str]:
    """A pattern for the longest form at each place. A number is not matched in a longer number."""
    ordered = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(_matching, ordered)))


def _matching(form: str) -> str:
    return rf"(?<!\d)(?<!\d\.){form}(?!\d|\.\d)" if form.isdecimal() else re.escape(form)
