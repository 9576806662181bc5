"""What `make load` measures: open arrivals, times from the moment of each arrival, percentiles."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web

from scripts.load.__main__ import main
from scripts.load.picture import picture
from scripts.load.report import percentile, report
from scripts.load.run import Load, Sample, Target, run

FAST = Load(rate=50, seconds=0.1)
DELTA = b'data: {"choices": [{"delta": {"content": "Yes"}}]}\n\n'
ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'


def sample(
    target: str, first_ms: float, *, late_ms: float = 0, outcome: str = "answered"
) -> Sample:
    return Sample(target, 0, late_ms / 1000, outcome, first_ms / 1000, first_ms / 1000 + 0.1)


@asynccontextmanager
async def provider(*pieces: bytes, status: int = 200) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def test_the_times_of_a_seed_are_the_same_and_their_number_is_near_the_rate() -> None:
    load = Load(rate=100, seconds=30)
    times = list(load.times("service"))
    assert times == list(load.times("service"))
    assert times != list(load.times("direct"))
    assert times == sorted(times)
    assert 2700 < len(times) < 3300  # 5.5 standard deviations


@pytest.mark.parametrize(
    ("share", "expected"), [(50, 5), (90, 9), (91, 10), (99, 10), (100, 10), (0.1, 1)]
)
def test_a_percentile_is_a_value_of_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 11)], share) == expected


@pytest.mark.parametrize(
    ("pieces", "status", "outcome"),
    [
        pytest.param([ROLE, DELTA, b"data: [DONE]\n\n"], 200, "answered", id="text"),
        pytest.param([ROLE, b"data: [DONE]\n\n"], 200, "no text", id="without-text"),
        pytest.param([b'{"error": {}}'], 429, "429", id="refused"),
    ],
)
async def test_an_answer_counts_as_answered_only_with_text(
    pieces: list[bytes], status: int, outcome: str
) -> None:
    async with provider(*pieces, status=status) as address:
        samples = await run([Target("service", address)], FAST)
    assert {each.outcome for each in samples} == {outcome}
    assert all((each.first_text_s is None) == (outcome != "answered") for each in samples)


async def test_a_server_that_does_not_listen_is_an_outcome_with_the_name_of_the_error() -> None:
    async with provider() as address:
        pass
    samples = await run([Target("service", address)], FAST)
    assert {each.outcome for each in samples} == {"ClientConnectorError"}


def test_the_service_adds_the_difference_of_the_percentiles() -> None:
    samples = [sample("direct", 10), sample("direct", 20), sample("service", 15)]
    added = [line.split() for line in report(samples).splitlines() if "added" in line]
    assert added[0] == ["added", "5.0", "-5.0", "-5.0", "-5.0", "-5.0"]


def test_refused_requests_are_counted_and_their_times_are_left_out() -> None:
    table = report([sample("service", 10), sample("service", 1, outcome="503")])
    assert "service: 1 x answered, 1 x 503" in table
    assert "10.0" in table.splitlines()[2]
    assert "direct" not in table


def test_a_machine_that_is_too_busy_is_named() -> None:
    assert "too busy" in report([sample("service", 10, late_ms=50)])
    assert "too busy" not in report([sample("service", 10, late_ms=5)])


def test_the_picture_has_a_curve_for_each_target_and_measure() -> None:
    drawn = picture([sample("direct", 10), sample("service", 20)], FAST)
    elements = ET.fromstring(drawn).iter()  # noqa: S314 - drawn by our own code
    assert len([element for element in elements if element.tag.endswith("path")]) == 4


def test_a_picture_of_refusals_only_has_no_curve() -> None:
    drawn = picture([sample("service", 1, outcome="503")], FAST)
    assert "<path" not in drawn


@pytest.mark.parametrize("option", ["--rate=0", "--rate=many", "--seconds=-1", "--rate=inf"])
def test_a_wrong_rate_or_length_is_refused_with_the_right_form(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([option])
    assert "a number above 0 is needed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_compares_the_service_with_the_mock_api_and_draws_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    drawing = tmp_path / "new" / "load.svg"
    assert main(["--rate=10", "--seconds=1", f"--picture={drawing}"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines() if line.startswith("  ")] == [
        *("direct", "service", "added"),
        *("direct", "service", "added"),
    ]
    assert drawing.read_text(encoding="utf-8").startswith("<svg")
