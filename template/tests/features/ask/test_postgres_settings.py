"""`DOCUMENTS_STORE=postgres`: its address, its packages, and TLS where it matters."""

import sys

import pytest

from app.rag.policy import DocumentsPolicy
from app.settings import Settings, load
from tests.client_keys import CLIENT_KEYS

PASSWORD = "canary"
URL = f"postgresql://user:{PASSWORD}@db:5432/docs"


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        load()
    message = capsys.readouterr().err
    assert PASSWORD not in message
    return message


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"postgresql://user:{PASSWORD}/x@db", id="a slash in the password"),
        pytest.param(f"postgresql://user:{PASSWORD}@db:port/docs", id="a port that is none"),
        pytest.param(f"postgresql://user:{PASSWORD}@db:0/docs", id="the port 0"),
        pytest.param(f"{URL}?patience=1", id="an option that is none"),
        pytest.param(f"{URL}?sslmode=perhaps", id="a choice that is none"),
    ],
)
def test_an_address_that_libpq_would_refuse_is_refused_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCUMENTS_POSTGRES_URL", url)
    assert "  DOCUMENTS_POSTGRES_URL: must be like postgresql://" in refusal(capsys)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://db/docs",
        "postgresql://u:p%2Fq@one:5432,two:5433/docs?target_session_attrs=read-write",
        "postgresql:///docs?host=/run/postgresql",
    ],
)
def test_an_address_that_libpq_understands_is_taken(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCUMENTS_STORE", "postgres")
    monkeypatch.setenv("DOCUMENTS_POSTGRES_URL", url)
    assert load().documents.postgres_url is not None


def test_without_an_address_the_store_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCUMENTS_STORE", "postgres")
    assert "DOCUMENTS_STORE: postgres needs DOCUMENTS_POSTGRES_URL" in refusal(capsys)


def test_a_file_beside_the_store_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCUMENTS_STORE", "postgres")
    monkeypatch.setenv("DOCUMENTS_POSTGRES_URL", URL)
    monkeypatch.setenv("DOCUMENTS_INDEX_PATH", "index")
    assert "DOCUMENTS_INDEX_PATH: must be empty" in refusal(capsys)


@pytest.mark.parametrize("package", ["psycopg", "psycopg_pool"])
def test_without_its_packages_the_store_is_refused_with_the_remedy(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    monkeypatch.setenv("DOCUMENTS_STORE", "postgres")
    monkeypatch.setenv("DOCUMENTS_POSTGRES_URL", URL)
    message = refusal(capsys)
    assert "  DOCUMENTS_STORE: postgres needs the packages" in message
    assert "make lock STORE=postgres" in message


@pytest.mark.parametrize(
    ("options", "is_accepted"),
    [
        ("", False),
        ("?sslmode=prefer", False),
        ("?sslmode=verify-full", True),
        ("?sslmode=disable", True),
    ],
)
def test_outside_of_dev_the_address_decides_on_tls(
    options: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_accepted: bool,
) -> None:
    for name, value in {
        "APP_ENV": "staging",
        "CLIENT_KEYS": CLIENT_KEYS,
        "DOCUMENTS_STORE": "postgres",
        "DOCUMENTS_POSTGRES_URL": URL + options,
    }.items():
        monkeypatch.setenv(name, value)
    if is_accepted:
        load()
    else:
        assert "DOCUMENTS_POSTGRES_URL: must have an sslmode in staging" in refusal(capsys)


def test_each_environment_has_a_name_of_its_own() -> None:
    names = {Settings().documents.of(env).postgres_prefix for env in ("dev", "staging", "prod")}
    assert len(names) == 3
    assert DocumentsPolicy(postgres_prefix="mine").of("prod").postgres_prefix == "mine"
