"""Tool calls, put together from the pieces that a stream sends.

Servers tell several calls apart in different ways. What holds for all of them:

- a piece with a new id and a name begins a new call, whatever its index is: Gemini, and gateways in
  front of it, give every call of an answer the index 0;
- an id that changes without a name belongs to the same call: old releases of vLLM made a new id for
  each piece;
- without an id, a name begins a new call when it is another name, or when the arguments of the call
  so far are complete; a server that repeats the name with each piece does neither;
- without an index, a piece belongs to the call that began last.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from pydantic import JsonValue
from pydantic_core import from_json

from app.llm.providers.boundary import malformed
from app.llm.types import ToolCall

Arguments = str | Mapping[str, JsonValue] | None


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    # Whole arguments, from an object or from the start of an Anthropic block. Pieces come before
    # them: gateways send the same arguments in both places.
    preset: str = ""

    @property
    def arguments(self) -> str:
        return "".join(self.pieces) or self.preset

    @property
    def is_complete(self) -> bool:
        """Whether more text cannot belong to it: nothing follows the end of a JSON object."""
        if not (self.pieces and self.pieces[-1].rstrip().endswith("}")):
            return bool(self.preset)
        try:
            return isinstance(from_json(self.arguments), dict)
        except ValueError:
            return False


class ToolCalls:
    """The tool calls of one answer."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: list[_Call] = []
        self._open: dict[int | None, _Call | None] = {}  # None: a call of the provider's own tools
        self._last: _Call | None = None

    def begin(self, call_id: str | None, name: str | None, *, index: int | None = None) -> None:
        """Begin a call that the provider marks as a new one."""
        self._last = _Call(index, call_id or "", name or "")
        self._calls.append(self._last)
        self._open[index] = self._last

    def preset(self, arguments: Arguments) -> None:
        """Give the call that began last its arguments, unless text arrives for it as well."""
        if self._last is not None and arguments:
            self._last.preset = _as_text(arguments)

    def ignore(self, index: int | None) -> None:
        """Pass over arguments with this index: the provider runs that tool itself."""
        self._open[index] = self._last = None

    def add(self, arguments: Arguments, *, index: int | None = None) -> None:
        """Append to the call with this index, or, without one, to the call that began last."""
        if index is None and self._open:
            self._append(self._last, arguments)
        elif arguments:
            if index not in self._open and None not in self._open:
                self.begin(None, None, index=index)
            self._append(self._at(index), arguments)

    def piece(
        self, index: int | None, call_id: str | None, name: str | None, arguments: Arguments
    ) -> None:
        """Take a piece that may begin a call, continue one, or both."""
        call = self._continued(index, call_id, name, arguments)
        if call is None:
            self.begin(call_id, name, index=index)
            call = self._last
        else:
            call.id = call.id or call_id or ""
            call.name = call.name or name or ""
            self._last = call
        self._append(call, arguments)

    def whole(self) -> tuple[ToolCall, ...]:
        """All calls, each with an id of its own. A call without a name makes the answer unusable."""
        known: set[str] = set()
        calls = []
        for position, call in enumerate(self._calls):
            if not call.name:
                raise malformed(self._provider, f"tool_calls[{position}].name", "is missing")
            call_id = call.id if call.id and call.id not in known else f"call_{uuid4().hex[:24]}"
            known.add(call_id)
            calls.append(ToolCall(id=call_id, name=call.name, arguments=call.arguments or "{}"))
        return tuple(calls)

    def _continued(
        self, index: int | None, call_id: str | None, name: str | None, arguments: Arguments
    ) -> _Call | None:
        """The call that this piece continues; None for a piece that begins one."""
        call = self._with_id(call_id, index)
        if call is None:
            call = self._at(index)
            if call is None or not name:
                return call
            if call.name not in {"", name} or (call_id and call.id):
                return None
        return None if name and arguments and call.is_complete else call

    def _with_id(self, call_id: str | None, index: int | None) -> _Call | None:
        for call in reversed(self._calls) if call_id else ():
            is_here = index is None or call.index in {None, index}
            if is_here and call.id.casefold() == str(call_id).casefold():
                return call
        return None

    def _at(self, index: int | None) -> _Call | None:
        """The call with this index; a server may give the index with only some of the pieces."""
        if index is None:
            return self._last
        return self._open[index] if index in self._open else self._open.get(None)

    def _append(self, call: _Call | None, arguments: Arguments) -> None:
        if call is None or not arguments:
            return
        if isinstance(arguments, str):
            call.pieces.append(arguments)
        else:
            call.preset = _as_text(arguments)


def _as_text(arguments: str | Mapping[str, JsonValue]) -> str:
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)
