"""A process with a store that cannot keep vectors: one line, and no traceback."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_STARTUP_FAILED = 3


class _OldRedis(socketserver.StreamRequestHandler):
    """Speaks as much of Redis' protocol as the start needs, and knows no vector sets."""

    def handle(self) -> None:
        while parts := self.rfile.readline():
            words = [self._word() for _ in range(int(parts[1:]))]
            answers = {b"HELLO": b"%1\r\n+proto\r\n:3\r\n", b"VCARD": b"-ERR unknown command\r\n"}
            self.wfile.write(answers.get(words[0].upper(), b"+OK\r\n"))

    def _word(self) -> bytes:
        length = int(self.rfile.readline()[1:])
        return self.rfile.read(length + 2)[:-2]


@pytest.fixture
def old_redis() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OldRedis) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_redis_without_vector_sets_ends_the_process_with_one_line_and_no_traceback(
    old_redis: str, tmp_path: Path
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "PORT": "0",
        "REDIS_URL": old_redis,
        "DOCUMENTS_STORE": "redis",
        "LOG_FORMAT": "json",
    }
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
        timeout=100,
    )
    assert done.returncode == _STARTUP_FAILED
    assert "Traceback" not in done.stdout + done.stderr
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines() if line]
    reasons = [line["reason"] for line in lines if line["level"] == "error" and "reason" in line]
    (reason,) = reasons
    assert "Redis 8 or later" in reason
