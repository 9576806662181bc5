"""Finds the thoughts in a model's text, which are not part of its answer. No I/O.

Open models write thoughts between markers, which some servers pass on as text: `<think>…</think>`,
`[THINK]…[/THINK]`, `<|begin_of_thought|>…<|end_of_thought|>`, and the channels of gpt-oss. Some
prompts contain the opening marker, so the text has only the closing one. Then all text before it is
a thought.
"""

import re

_MARK = re.compile(
    r"(?:<\|?|[\[◁])(?P<closing>/|end(?:_of)?_)?(?:(?:begin|start)(?:_of)?_)?(?:\w{1,16}:)?"
    r"(?P<name>think|thinking|thoughts?|reason|reasoning|reflection|scratchpad)"
    r"(?:\s[^<>{}\[\]]{0,80})?(?:\|?>|[\]▷])"
    r"|<\|channel\|?>\s*(?P<channel>\w+)(?=\W)"
    r"|(?P<end><\|(?:end|return)\|>|<channel\|>)"
    r"|(?P<final>assistantfinal)",  # gpt-oss, when the server removes the markers
    re.IGNORECASE,
)
_FINAL = "assistantfinal"
_FINAL_BEGUN = "|".join(_FINAL[:end] for end in range(len(_FINAL) - 1, 0, -1))
_START = re.compile(rf"[\[{{<◁]|{_FINAL}|(?:{_FINAL_BEGUN})\Z")
# The end of a text that may become a marker with the next piece.
_UNFINISHED = re.compile(
    r"(?:<\|channel\|?>?\s*\w*|[<◁]\|?/?[\w:]{0,40}(?:\s[^<>{}\[\]]{0,80})?\|?|\[/?[a-z]{0,10}"
    rf"|{_FINAL_BEGUN})\Z",
    re.IGNORECASE,
)
_CHANNEL = "channel"


class Thinking:
    """Follows the markers in a text that arrives in pieces, outside of JSON values.

    A closing marker sets `has_ended` (a thought with a beginning has ended) or `was_all` (all text
    so far was a thought). The reader resets them.
    """

    def __init__(self) -> None:
        self._open: str | None = None  # the kind of the marker that ends the thought
        self.has_ended = False
        self.was_all = False

    @property
    def is_open(self) -> bool:
        return self._open is not None

    def next_bracket(self, text: str, at: int) -> tuple[int, int]:
        """The offset of the next possible value outside of thoughts; the end of the text if none.

        The text from the second offset on can only be understood together with the next piece.
        """
        while (found := _START.search(text, at)) is not None:
            at = found.start()
            if (mark := _MARK.match(text, at)) is not None:
                self._passed(mark)
                at = mark.end()
            elif _UNFINISHED.match(text, at):
                return len(text), at
            elif self._open is None and text[at] in "[{":
                return at, len(text)
            else:
                at += 1
        return len(text), len(text)

    def _passed(self, mark: re.Match[str]) -> None:
        if mark["name"] is not None:
            kind, closes = mark["name"][:5].lower(), mark["closing"] is not None
        elif mark["channel"] is not None:
            kind, closes = _CHANNEL, mark["channel"].lower() == "final"
        elif mark["final"] is not None or self._open == _CHANNEL:
            kind, closes = _CHANNEL, True
        else:
            return  # the end of a message, which is the answer
        if closes:
            self._close(kind)
        elif self._open is None:
            self._open = kind

    def _close(self, kind: str) -> None:
        if self._open is None:
            self.was_all = True
        elif self._open == kind:
            self._open = None
            self.has_ended = True
