"""The files for TLS with Redis: what is refused, and how they reach the client."""

from pathlib import Path

import pytest

from app.settings import load
from tests.certificates import self_signed
from tests.refused_settings import refusal

ANY_PEM = "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n"  # gitleaks:allow


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A certificate and its key in one file."""
    return self_signed(tmp_path / "redis.pem", "redis")


def test_the_files_are_options_of_the_address(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss+cluster://one,two/?health_check_interval=30")
    for name in ("REDIS_CA_FILE", "REDIS_CERT_FILE"):
        monkeypatch.setenv(name, str(pem))
    address = load().redis_address
    assert address.startswith("rediss+cluster://one,two/?health_check_interval=30&ssl_ca_certs=")
    assert "&ssl_certfile=" in address
    assert "ssl_keyfile" not in address


def test_without_files_the_address_is_that_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://one")
    assert load().redis_address == "redis://one"


@pytest.mark.parametrize("name", ["REDIS_CA_FILE", "REDIS_CERT_FILE", "REDIS_KEY_FILE"])
def test_a_file_without_tls_is_refused(
    name: str, pem: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://one")
    monkeypatch.setenv(name, str(pem))
    assert refusal(capsys) == [name]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        pytest.param({"REDIS_CA_FILE": "text"}, "REDIS_CA_FILE", id="an authority that is no PEM"),
        pytest.param({"REDIS_CA_FILE": "any"}, "REDIS_CA_FILE", id="no certificates in it"),
        pytest.param({"REDIS_KEY_FILE": "pem"}, "REDIS_KEY_FILE", id="a key without certificate"),
        pytest.param({"REDIS_CERT_FILE": "any"}, "REDIS_KEY_FILE", id="no key of the certificate"),
        pytest.param(
            {"REDIS_CERT_FILE": "pem", "REDIS_KEY_FILE": "other"}, "REDIS_KEY_FILE", id="other key"
        ),
    ],
)
def test_files_that_redis_could_not_use_are_refused(  # noqa: PLR0917 - fixtures
    values: dict[str, str],
    wrong: str,
    pem: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "any").write_text(ANY_PEM)
    self_signed(tmp_path / "other", "other")
    monkeypatch.setenv("REDIS_URL", "rediss://one")
    for name, file in values.items():
        monkeypatch.setenv(name, str(pem if file == "pem" else tmp_path / file))
    assert refusal(capsys) == [wrong]
