import ssl

import pytest

from app.configuration.secrets import vault
from app.configuration.secrets.policy import VaultPolicy
from app.configuration.text_file import SourceError
from app.llm.http import HTTPPolicy, open_connections
from app.network import ssl_context


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
