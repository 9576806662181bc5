"""`make scan` has three verdicts: clean, not clean, and unknown."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scripts.scan import FOUND, NO_VERDICT

SCRIPTS = Path(__file__).parents[2] / "scripts"
LOCK = "one==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
FLAW = {
    "id": "PYSEC-2026-1",
    "summary": "bad",
    "affected": [
        {
            "package": {"name": "one", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@contextmanager
def osv(answer: object) -> Iterator[str]:
    """A database of vulnerabilities with one answer for every package."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/query"
        server.shutdown()


def run(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command, env=env, capture_output=True, text=True, check=False
    )


def scan(url: str, directory: Path) -> subprocess.CompletedProcess[str]:
    lock = directory / "lock.txt"
    lock.write_text(LOCK)
    return run([sys.executable, str(SCRIPTS / "scan.py"), str(lock), f"--osv-url={url}"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        pytest.param({}, 0, "1 dependencies, 0 known", id="clean"),
        pytest.param({"vulns": [FLAW]}, FOUND, "one 1.0: PYSEC-2026-1, fixed in 1.1", id="not"),
    ],
)
def test_a_scan_ends_with_a_verdict(tmp_path: Path, answer: object, code: int, said: str) -> None:
    with osv(answer) as url:
        done = scan(url, tmp_path)
    assert (done.returncode, said in done.stdout) == (code, True), done


@pytest.mark.slow
def test_without_a_database_there_is_no_verdict(tmp_path: Path) -> None:
    done = scan("http://127.0.0.1:1/query", tmp_path)
    assert done.returncode == NO_VERDICT
    assert "no result" in done.stderr
    assert "127.0.0.1" in done.stderr


@pytest.mark.parametrize(
    ("scanner", "ends", "code", "said"),
    [
        pytest.param("trivy", 0, 0, "no severe", id="clean"),
        pytest.param("trivy", 10, FOUND, "has severe", id="not-clean"),
        pytest.param("trivy", 1, NO_VERDICT, "no result", id="trivy-without-database"),
        pytest.param("grype", 2, FOUND, "has severe", id="not-clean-for-grype"),
        pytest.param("grype", 1, NO_VERDICT, "no result", id="grype-without-database"),
        pytest.param("none", 0, NO_VERDICT, "install trivy or grype", id="no-scanner"),
    ],
)
def test_an_image_is_scanned_by_an_installed_scanner(
    tmp_path: Path, scanner: str, ends: int, code: int, said: str
) -> None:
    fake = tmp_path / scanner
    fake.write_text(f"#!/bin/sh\nexit {ends}\n")
    fake.chmod(0o755)
    done = run(["/bin/sh", str(SCRIPTS / "scan_image.sh"), "image"], env={"PATH": str(tmp_path)})
    assert done.returncode == code
    assert said in done.stdout + done.stderr
