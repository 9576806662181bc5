from dataclasses import dataclass, field

from app.llm.types import ToolCall


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCalls:
    """Tool calls that arrive in pieces, several at a time, told apart by an index."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def begin(self, index: int, call_id: str | None, name: str | None) -> None:
        """Some servers repeat what a call is with every piece of it; the first time counts."""
        call = self._calls.setdefault(index, _Call())
        call.id = call.id or call_id or ""
        call.name = call.name or name or ""

    def add(self, index: int, arguments: str | None) -> None:
        """Append to a call. What belongs to none was for the provider's own tools."""
        if index in self._calls and arguments:
            self._calls[index].arguments.append(arguments)

    def whole(self) -> tuple[ToolCall, ...]:
        return tuple(
            ToolCall(id=call.id, name=call.name, arguments="".join(call.arguments) or "{}")
            for call in self._calls.values()
        )
