import ssl

import pytest

from app.certificates import trusted
from app.configuration.secrets import vault
from app.configuration.secrets.policy import VaultPolicy
from app.configuration.unreadable import Unreadable
from app.llm.http import HTTPPolicy, open_connections


@pytest.fixture
def _read_and_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the certificates once more fails."""
    trusted()
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all")


@pytest.mark.usefixtures("_read_and_gone")
async def test_a_pool_has_the_certificates_that_this_process_has_read() -> None:
    async with open_connections(HTTPPolicy()):
        pass


@pytest.mark.usefixtures("_read_and_gone")
def test_a_secrets_manager_is_asked_with_the_same_certificates() -> None:
    with pytest.raises(Unreadable, match="VAULT_TOKEN"):
        vault.read("secret/service", VaultPolicy(addr="https://vault.test"), timeout_s=1)


def test_who_cannot_show_a_certificate_is_not_trusted() -> None:
    assert trusted().verify_mode is ssl.CERT_REQUIRED
    assert trusted().check_hostname
