import ssl

import httpx2 as httpx
import pytest

from app.configuration.secrets import vault
from app.configuration.secrets.policy import VaultPolicy
from app.configuration.text_file import SourceError
from app.llm.http import HTTPPolicy, open_connections
from app.tls import ssl_context, system_context


@pytest.fixture
def _read_and_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second reading of the certificates fails."""
    ssl_context()
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all")


@pytest.mark.usefixtures("_read_and_gone")
async def test_a_pool_has_the_certificates_that_this_process_has_read() -> None:
    async with open_connections(HTTPPolicy()):
        pass


@pytest.mark.usefixtures("_read_and_gone")
def test_a_secrets_manager_is_asked_with_the_same_certificates() -> None:
    with pytest.raises(SourceError, match="VAULT_TOKEN"):
        vault.read("secret/service", VaultPolicy(addr="https://vault.test"), timeout_s=1)


def test_a_server_without_a_trusted_certificate_is_refused() -> None:
    assert ssl_context().verify_mode is ssl.CERT_REQUIRED
    assert ssl_context().check_hostname


@pytest.fixture
def _own_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("_own_certificates")
def test_the_certificates_of_the_system_are_those_that_httpx2_trusts() -> None:
    made = system_context()
    if made is None:
        pytest.skip("httpx2 looks for the certificates of this system")
    expected = httpx.create_ssl_context()
    assert made.get_ca_certs() == expected.get_ca_certs()
    assert made.verify_flags == expected.verify_flags
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.usefixtures("_own_certificates")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_httpx2_reads_certificates_that_a_variable_names(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "/nowhere/at/all")
    assert system_context() is None
