"""The service without NumPy, which only `DOCUMENTS_STORE=memory` needs."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.settings import load
from tests.rag.contract.postgres import postgres_url

ROOT = Path(__file__).parents[3]
REDIS = os.environ.get("REDIS_TEST_URL")
_START_S = 100
# As uvicorn and the service log it.
_URL = re.compile(r'(?:running on |"url": ?")(http://127\.0\.0\.1:\d+)')


def test_memory_without_numpy_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)  # as if it were not installed
    with pytest.raises(SystemExit):
        load()
    message = capsys.readouterr().err
    assert "  DOCUMENTS_STORE: memory needs NumPy" in message
    assert "make lock STORE=memory" in message


def test_without_documents_memory_needs_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.setenv("APP_ENV", "staging")
    monkeypatch.setenv("CLIENT_AUTH", "off")
    assert load().documents.store == "memory"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `import numpy` fails."""
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('blocked', name='numpy')\n")
    paths = [str(tmp_path), str(ROOT / "src"), str(ROOT)]
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths), "PORT": "0"}


@contextmanager
def started(module: str, environment: dict[str, str], log: Path) -> Iterator[str]:
    """Start a process; yield its address, which is in its log."""
    with log.open("w") as output:
        command = [sys.executable, "-m", module]
        with subprocess.Popen(  # noqa: S603 - this Python, with a module of this project
            command, env=environment, stdout=output, stderr=output
        ) as process:
            try:
                yield _address(process, log)
            finally:
                process.terminate()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := _URL.search(log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_questions_are_answered_with_the_import_of_numpy_blocked(
    store: str, environment: dict[str, str], tmp_path: Path
) -> None:
    if store == "redis" and REDIS is None:
        pytest.skip("needs the Redis 8 of REDIS_TEST_URL")
    environment |= {
        "LOG_FORMAT": "json",
        "DOCUMENTS_STORE": store,
        "DOCUMENTS_POSTGRES_TIMEOUT_S": "30",
    }
    if store == "postgres":
        environment["DOCUMENTS_POSTGRES_URL"] = postgres_url()
    else:
        environment["REDIS_URL"] = str(REDIS)
    with ExitStack() as stack:
        mock = stack.enter_context(started("mock_api", environment, tmp_path / "mock.log"))
        environment |= {"OPENAI_BASE_URL": f"{mock}/v1", "ANTHROPIC_BASE_URL": mock}
        service = stack.enter_context(started("app", environment, tmp_path / "app.log"))
        body = json.dumps({"question": "How do I add a provider?"}).encode()
        request = urllib.request.Request(  # noqa: S310 - this machine
            f"{service}/v1/ask", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=200) as answer:  # noqa: S310
            assert json.load(answer)["contexts"]
