"""Mask the configured secrets by value in every text that leaves the process.

Patterns recognise the keys of a few vendors only. A key of any other form is known because it is in
the settings: the service adds its secrets to `KNOWN` when it starts and removes them when it stops.
With two services in one process, the secrets of both are masked.

Values shorter than four characters, and words that mean "no key", are not masked: see
`secret_forms`.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from app.telemetry.secret_forms import in_base64, is_maskable, pattern, spellings

MASK = "***"


class KnownSecrets:
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
                return self._pattern.sub(MASK, text)
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
        return self._pattern.sub(MASK, text).encode("utf-8", "surrogateescape")


def _utf8(form: str) -> bytes:
    return form.encode("utf-8", "surrogatepass")


KNOWN = KnownSecrets()


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
