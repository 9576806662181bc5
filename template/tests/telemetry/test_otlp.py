"""Export by OTLP over HTTP, to a collector on the loopback interface."""

import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import SpanProcessor

import app
from app.api.middleware import stack
from app.api.middleware.body_limit import ByteBudget
from app.configuration.refusal import EX_CONFIG
from app.llm.overload import Overload
from app.settings import load
from app.telemetry.metrics import Metrics
from app.telemetry.otel import Export
from app.testing import FakeChatModel
from tests.configuration.json_server import JSONServer, json_server
from tests.running_service import opened

SOURCE = Path(app.__file__).parent
IMPORT = re.compile(
    r"(from|import) (opentelemetry\.(sdk|exporter)|app\.telemetry\.otel)\b|import opentelemetry"
)
KEY = "canary-0123456789abcdef"


def received(collector: JSONServer) -> dict[str, Span]:
    spans = {}
    for asked in collector.asked:
        export = ExportTraceServiceRequest.FromString(asked.body)
        for resource in export.resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            assert names["service.name"] == "checkout"
            spans.update({s.name: s for scope in resource.scope_spans for s in scope.spans})
    return spans


async def test_a_collector_gets_the_tree_at_the_latest_when_the_service_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with json_server() as collector:
        collector.answers["POST /v1/traces"] = (200, b"")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-api-key={KEY}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "checkout")
        async with opened(FakeChatModel("Hello!"), enable_tracing=True) as service:
            assert (await service.ask()).status_code == 200
        spans = received(collector)
    assert list(spans) == ["POST /v1/chat"]
    assert collector.asked[0].headers["x-api-key"] == KEY
    assert KEY.encode() not in collector.asked[0].body


async def test_sampling_is_decided_by_the_standard_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with json_server() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        async with opened(FakeChatModel("Hello!"), enable_tracing=True) as service:
            await service.ask()
    assert collector.asked == []


class Stuck(SpanProcessor):
    """A collector that does not answer, so that exported spans stay in the process."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def shutdown(self) -> None:
        self.answers.wait()


async def test_a_collector_that_does_not_answer_does_not_hold_up_the_end() -> None:
    stuck = Stuck()
    async with Export(lambda: stuck, last_spans_s=0.01).running():
        pass
    assert not stuck.answers.is_set()
    stuck.answers.set()


def test_without_the_extra_the_start_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)  # as if it were not installed
    monkeypatch.setenv("ENABLE_TRACING", "true")
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert line.startswith("  ENABLE_TRACING: needs")
    assert "make lock EXTRAS=otel" in line


def test_only_one_module_imports_the_extra_and_only_when_tracing_is_on() -> None:
    imported = {
        path.name: {line for line in path.read_text().splitlines() if IMPORT.match(line)}
        for path in SOURCE.rglob("*.py")
    }
    assert [name for name, lines in imported.items() if lines] == ["otel.py"]


@pytest.mark.slow
def test_without_tracing_the_extra_is_not_needed() -> None:
    """In a process of its own: this one has imported the SDK already."""
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; from app.main import create_app; "
        "from app.settings import Settings; create_app(Settings())"
    )
    done = subprocess.run(  # noqa: S603 - this Python, and the code above
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_tracing_there_is_no_layer_for_it() -> None:
    stacked = partial(stack, Metrics(), debug=False, budget=ByteBudget(1), overload=Overload())
    off, on = stacked(), stacked(tracer=Export().tracer)
    assert [layer for layer in off if "tracer" in layer.kwargs] == []
    assert len(on) == len(off) + 1
