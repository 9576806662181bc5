"""`docs/observability.md` lists every event and every metric, and nothing else."""

import ast
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.errors import RateLimitError
from app.llm.costs import BrokenOff
from app.llm.guards.guard import stacked
from app.llm.guards.instrumented import Billed, Instrumented
from app.llm.types import (
    ChatRequest,
    EmbeddingRequest,
    LLMResponse,
    Message,
    PromptVersion,
    StreamEvent,
    Usage,
)
from app.telemetry.metrics import Metrics
from app.testing import CapturedLogs, FakeChatModel

ROOT = Path(__file__).parents[2]
PAGE = "docs/observability.md"
TEXT = (ROOT / PAGE).read_text()
ALWAYS = {"timestamp", "level", "event", "logger", "request_id", "trace_id"}


@dataclass(frozen=True)
class Event:
    """`levels` is empty when it is decided as it happens; `is_open` when fields are."""

    name: str
    levels: frozenset[str]
    fields: frozenset[str]
    is_open: bool
    place: str

    def row(self) -> str:
        levels = ", ".join(sorted(self.levels)) or "its levels"
        fields = ", ".join(f"`{name}`" for name in sorted(self.fields))
        return f"| `{self.name}` | {levels} | {fields} | when it happens |"


@dataclass(frozen=True)
class Row:
    levels: frozenset[str]
    fields: frozenset[str]


def rows() -> dict[str, Row]:
    section = TEXT.partition("### Events")[2].partition("\n### ")[0]
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|([^|]*)\|", section, re.MULTILINE)
    return {
        name: Row(frozenset(levels.split(", ")), frozenset(re.findall(r"`(\w+)`", fields)))
        for name, levels, fields in found
    }


def emitted() -> Iterator[Event]:
    for path in sorted((ROOT / "src/app").rglob("*.py")):
        if "_log" not in (code := path.read_text()):
            continue
        nodes = list(ast.walk(ast.parse(code)))
        uses = [node for node in nodes if _is_log(node)]
        logged = [node for node in nodes if isinstance(node, ast.Call) and _is_log(node.func)]
        assert len(uses) == len(
            logged
        ), f"{path}: call _log directly, so that this test can read it"
        for call in logged:
            yield _event(call, f"{path.relative_to(ROOT)}:{call.lineno}")


def _is_log(node: ast.AST) -> bool:
    owner = node.value if isinstance(node, ast.Attribute) else None
    return getattr(owner, "id", getattr(owner, "attr", "")) == "_log"


def _event(call: ast.Call, place: str) -> Event:
    assert isinstance(call.func, ast.Attribute)
    by_number = call.func.attr == "log"
    name = call.args[1 if by_number else 0]
    assert isinstance(name, ast.Constant), f"{place}: write the name of the event as a literal"
    fields = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    return Event(
        name=str(name.value),
        levels=frozenset() if by_number else frozenset({call.func.attr}),
        fields=frozenset("exception" if field == "exc_info" else field for field in fields),
        is_open=any(keyword.arg is None for keyword in call.keywords),
        place=place,
    )


EVENTS = list(emitted())
ROWS = rows()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.name} in {event.place}")
def test_an_event_is_in_the_catalogue(event: Event) -> None:
    where = f"{event.place} logs {event.name}. {PAGE} needs, under Events:\n{event.row()}\n"
    assert event.name in ROWS, where
    row = ROWS[event.name]
    assert event.levels <= row.levels, where
    assert event.fields <= row.fields, where
    if not event.is_open:
        others = [other for other in EVENTS if other.name == event.name]
        assert row.fields == frozenset().union(*(other.fields for other in others)), where


def test_the_catalogue_has_nothing_that_is_never_logged() -> None:
    assert len(EVENTS) > 15
    assert sorted(ROWS.keys() - {event.name for event in EVENTS}) == [], f"remove from {PAGE}"


async def test_fields_that_are_decided_as_it_happens_are_in_the_catalogue(
    logs: CapturedLogs,
) -> None:
    prompt = PromptVersion(name="greeting", version=1)
    request = ChatRequest(messages=(Message("user", "Hi"),), prompt=prompt)

    class Thorough(FakeChatModel):
        """Reports all that a provider may report."""

        def response(self, content: str) -> LLMResponse:
            usage = Usage(
                prompt_tokens=9,
                completion_tokens=9,
                total_tokens=18,
                cached_prompt_tokens=1,
                cache_write_tokens=1,
                reasoning_tokens=1,
            )
            known = {"usage": usage, "provider_request_id": "req_1"}
            return super().response(content).model_copy(update=known)

        async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
            assert request.receipt is not None
            request.receipt.broken_off = BrokenOff(None, characters=9)
            async for event in super().stream(request):
                yield event

    fake = Thorough("Hello!", ["a", RateLimitError("busy", status=429, retry_after_s=2)])
    model = stacked(fake, [Instrumented(Metrics(), previews=True), Billed()])
    await model.complete(request)
    await model.embed(EmbeddingRequest(("text",)))
    with suppress(RateLimitError):
        _ = [event async for event in model.stream(request)]
    said = frozenset().union(*logs.events("llm.call")) - ALWAYS
    assert sorted(said ^ ROWS["llm.call"].fields) == []


def test_every_metric_is_documented_and_nothing_else() -> None:
    section = TEXT.partition("## Metrics")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", section, re.MULTILINE))
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics().registry.collect()
        if not family.name.startswith("process_")
    }
    assert sorted(documented.keys() ^ exposed) == [], f"the table of metrics in {PAGE}"
