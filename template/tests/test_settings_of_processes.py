"""How many processes serve, at which ports, and the debugger that attaches to one of them."""

import sys

import pytest

from app.settings import load
from tests.refused_settings import refusal


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="without-redis"),
        pytest.param({"REDIS_URL": "redis://r", "ADMIN_PORT": "7999"}, id="port-among-them"),
        pytest.param({"REDIS_URL": "redis://r", "ADMIN_PORT": "65535"}, id="above-the-last-port"),
    ],
)
def test_workers_that_cannot_share_limits_or_have_no_port_each_are_refused(
    values: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"WORKERS": "2", **values}.items():
        monkeypatch.setenv(name, value)
    assert refusal(capsys) == ["WORKERS"]


def test_workers_with_redis_and_a_port_each_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORKERS": "2", "REDIS_URL": "redis://r", "ADMIN_PORT": "65534"}.items():
        monkeypatch.setenv(name, value)
    assert load().workers == 2


def test_a_debugger_has_a_port_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEBUG_PORT", "8000")
    assert refusal(capsys) == ["DEBUG_PORT"]


def test_a_debugger_attaches_to_one_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1")
    monkeypatch.setenv("WORKERS", "2")
    load()
    monkeypatch.setenv("DEBUG_PORT", "5678")
    assert refusal(capsys) == ["WORKERS"]


def test_without_debugpy_a_debugger_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The production image has none, and starts in dev if APP_ENV is not set."""
    monkeypatch.setenv("DEBUG_PORT", "5678")
    assert load().debug_port == 5678
    monkeypatch.setitem(sys.modules, "debugpy", None)
    assert refusal(capsys) == ["DEBUG_PORT"]
