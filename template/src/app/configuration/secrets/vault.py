"""HashiCorp Vault, KV version 2: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2."""

import httpx2 as httpx
from pydantic import SecretStr

from app.configuration.secrets.answer import ask, at
from app.configuration.secrets.policy import VaultPolicy
from app.configuration.text_file import SourceError
from app.network import is_local, ssl_context


def read(name: str, policy: VaultPolicy, timeout_s: float) -> object:
    """Read the newest version of `mount/path`. Raises `SourceError`."""
    if policy.addr is None:
        raise SourceError("VAULT_ADDR", "must be set when SECRETS_MANAGER is vault")
    mount, slash, path = name.strip("/").partition("/")
    if not slash:
        raise SourceError("SECRETS_NAME", "must be a mount and a path, like secret/my-service")
    with _client(policy.addr, policy, timeout_s) as client:
        client.headers["X-Vault-Token"] = _token(client, policy)
        return at(ask(client, "GET", f"/v1/{mount}/data/{path}"), "data", "data")


def _client(addr: str, policy: VaultPolicy, timeout_s: float) -> httpx.Client:
    headers = {"X-Vault-Request": "true"}
    if policy.namespace is not None:
        headers["X-Vault-Namespace"] = policy.namespace
    return httpx.Client(
        base_url=addr,
        headers=headers,
        timeout=timeout_s,
        verify=ssl_context(),
        trust_env=not is_local(addr),  # a Vault agent on this machine is not behind a proxy
    )


def _token(client: httpx.Client, policy: VaultPolicy) -> str:
    if policy.token is not None:
        return policy.token.get_secret_value()
    if policy.role_id is None or policy.secret_id is None:
        raise SourceError("VAULT_TOKEN", "must be set, or VAULT_ROLE_ID and VAULT_SECRET_ID")
    return _login(client, policy.role_id, policy.secret_id)


def _login(client: httpx.Client, role_id: SecretStr, secret_id: SecretStr) -> str:
    body = {"role_id": role_id.get_secret_value(), "secret_id": secret_id.get_secret_value()}
    token = at(ask(client, "POST", "/v1/auth/approle/login", body), "auth", "client_token")
    if not isinstance(token, str):
        raise SourceError("VAULT_ROLE_ID", "Vault's answer to the login has no token")
    return token
