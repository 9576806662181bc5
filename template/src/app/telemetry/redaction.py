"""Mask secrets in a finished text: known secrets by value, and others by patterns of secrets.

This is the second line of defence, after `SecretStr` and error messages in our own words. It
handles a library that logs its headers, an exception that contains a connection string, a provider
that repeats the key it received, and a key that a user pasted into a prompt.

A *known* secret is in the settings: the service adds its secrets to `KNOWN` when it starts and
removes them when it stops. With two services in one process, the secrets of both are masked. Values
shorter than four characters, and words that mean "no key", are not masked: see `secret_forms`.

The patterns here are for keys that are cut off, and for values of any form after a name such as
`password=`. Keys of vendors are found by `key_rules`, in a text with a long word that is no id.

Almost every line has no secret. So a line is first searched for a few short strings ("needles"),
and a pattern runs only if a needle is found. Each pattern reads a line once, because no pattern can
begin in the middle of text that it has already read.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from app.telemetry.key_rules import ESCAPED, ID, LONG, WORDS, masked_keys
from app.telemetry.secret_forms import in_base64, is_maskable, pattern, spellings

_MASK = "***"

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


class KnownSecrets:
    """Masks values that are secret, of whatever form, as they are and as texts encode them."""

    def __init__(self) -> None:
        self._held: list[frozenset[str]] = []
        self._set(frozenset())

    def add(self, values: Collection[str]) -> None:
        """Mask these values until the process ends."""
        self._held.append(frozenset(filter(is_maskable, values)))
        self._update()

    @contextmanager
    def holding(self, values: Collection[str]) -> Iterator[None]:
        """Mask these values inside the block, in all threads and tasks of the process."""
        self.add(values)
        held = self._held[-1]
        try:
            yield
        finally:
            self._held.remove(held)
            self._update()

    def forget(self) -> None:
        """Remove all values added so far."""
        self._held.clear()
        self._update()

    def hide(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                return self._pattern.sub(_MASK, text)
        return text

    def hide_bytes(self, data: bytes) -> bytes:
        """Like `hide`, for UTF-8 bytes such as the body of an answer."""
        find = data.find  # `in` takes three times as long for bytes
        for form in self._encoded_forms:
            if find(form) >= 0:
                return self._hidden(data)
        return data

    def hide_in_line(self, line: bytes) -> bytes:
        """Like `hide_bytes`, for log lines, which are many: it takes a third of the time.

        Base64 is searched only in lines with a sign of it: padding, or the B of Basic.
        """
        find = line.find
        for form in self._encoded_spellings:
            if find(form) >= 0:
                return self._hidden(line)
        if find(b"=") >= 0 or find(b"B") >= 0:
            return self.hide_bytes(line)
        return line

    def begun_in(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of a secret."""
        size = len(text)
        for at in range(max(0, size - self._longest + 1), size):
            if text[at] in self._first_chars and text[at:] in self._beginnings:
                return size - at
        return 0

    def _update(self) -> None:
        values: frozenset[str] = frozenset().union(*self._held)
        if values != self._values:
            self._set(values)

    def _set(self, values: frozenset[str]) -> None:
        self._values = values
        spelled = {form for value in values for form in spellings(value)}
        forms = spelled | {form for value in values for form in in_base64(value)}
        self._forms = tuple(forms)
        self._pattern = pattern(forms)
        self._encoded_forms = tuple(map(_utf8, forms))
        self._encoded_spellings = tuple(map(_utf8, spelled))
        self._longest = max(map(len, forms), default=0)
        self._beginnings = {form[:end] for form in forms for end in range(1, len(form))}
        self._first_chars = {form[0] for form in forms}

    def _hidden(self, data: bytes) -> bytes:
        text = data.decode("utf-8", "surrogateescape")
        return self._pattern.sub(_MASK, text).encode("utf-8", "surrogateescape")


def _utf8(form: str) -> bytes:
    return form.encode("utf-8", "surrogatepass")


KNOWN = KnownSecrets()


def masked(line: bytes, hide: Callable[[bytes], bytes] = KNOWN.hide_in_line) -> bytes:
    """Mask a line of the log. `hide` masks the known secrets."""
    line = hide(line)
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


def masked_text(text: str) -> str:
    """Mask a text for a caller or a trace. Half a surrogate pair becomes an escape."""
    return masked(text.encode("utf-8", "backslashreplace"), KNOWN.hide_bytes).decode()


def preview(text: str, chars: int) -> str:
    """The beginning of a text, masked before it is cut, because half a key is not recognised."""
    return masked_text(text[: chars + 1024])[:chars]


def _masked_by(patterns: Iterable[re.Pattern[bytes]], line: bytes) -> bytes:
    for each in patterns:
        line = each.sub(rb"\1***", line)
    return line


class StreamedText:
    """Masks text that arrives in pieces, including a secret that is split between two pieces.

    The end of a piece is held back only while it may be the beginning of a secret.
    """

    def __init__(self, known: KnownSecrets = KNOWN) -> None:
        self._known = known
        self._held = ""

    def feed(self, piece: str) -> str:
        text = self._known.hide(self._held + piece)
        begun = self._known.begun_in(text)
        self._held = text[len(text) - begun :]
        return text[: len(text) - begun]

    def finish(self) -> str:
        """Return the text that was held back; it is not a secret."""
        held, self._held = self._held, ""
        return held
