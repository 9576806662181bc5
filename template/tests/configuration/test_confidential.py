from dataclasses import dataclass, field

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from app.configuration.confidential import confidential
from app.settings import Settings


@dataclass(frozen=True)
class Provider:
    base_url: str = "https://api.example.com/v1"
    api_key: SecretStr | None = None


class Nested(BaseModel):
    name: str = "not secret"
    providers: dict[str, Provider] = {}
    keys: tuple[SecretStr, ...] = ()
    raw: SecretBytes | None = None
    one: Provider = field(default_factory=Provider)


def test_secrets_are_found_at_any_depth() -> None:
    settings = Nested(
        providers={"mistral": Provider(api_key=SecretStr("key-1"))},
        keys=(SecretStr("key-2"), SecretStr(" key-3\n")),
        raw=SecretBytes(b"key-4"),
        one=Provider(api_key=SecretStr("key-5")),
    )
    assert confidential(settings, {}) == {"key-1", "key-2", "key-3", "key-4", "key-5"}


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://user:p%40ss@host/v1", {"user:p%40ss", "user:p@ss", "p%40ss", "p@ss"}),
        ("https://:secret@host", {":secret", "secret"}),
        ("https://0123456789abcdef@host", {"0123456789abcdef"}),
        ("redis://default@host", set()),
        ("https://host/v1?api-version=1&api-key=k3y&sig=s%2Fg", {"k3y", "s/g"}),
        ("https://host/v1", set()),
        ("https://[broken", set()),
        ("gpt-5-mini", set()),
    ],
)
def test_an_address_is_as_secret_as_its_credentials(address: str, found: set[str]) -> None:
    assert confidential(Nested(one=Provider(address)), {}) == found
    assert confidential(Nested(), {"https_proxy": address}) == found
    assert confidential(Nested(keys=(SecretStr(address),)), {}) == found | {address}


def test_variables_that_libraries_read_are_found() -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": "aws",
        "VAULT_TOKEN": "vault",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20b3arer,x-key=k3y",
        "HTTP_PROXY": "http://u:proxy@host",
        "PATH": "/bin",
        "OPENAI_MODEL": "https://u:other@host",
    }
    assert confidential(Nested(), environment) == {
        *("aws", "vault", "b3arer", "k3y", "u:proxy", "proxy"),
    }


def test_the_settings_of_the_service_are_walked() -> None:
    settings = Settings(
        redis_url=SecretStr("redis://u:redis-pw@host/0"),
        vault={"token": "vault-token"},  # type: ignore[arg-type]  # as a source gives it
        openai={"api_key": "openai-key", "base_url": "https://a:base-pw@host/v1"},  # type: ignore[arg-type]
    )
    found = confidential(settings, {})
    assert {"redis-pw", "vault-token", "openai-key", "base-pw"} <= found
    assert "redis://u:redis-pw@host/0" in found
