"""Proxies and certificates of a machine: used, bypassed or refused."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.configuration.refusal import EX_CONFIG
from app.llm.http import HTTPPolicy, open_connections
from app.network import bypass_proxies, is_local, unusable
from app.settings import load
from tests.configuration.json_server import json_server

DEAD_PROXY = "http://127.0.0.1:9"
PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the changes of `bypass_proxies` to the environment."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:9000/v1", True),
        ("http://127.8.9.10", True),
        ("http://[::1]:9000", True),
        ("http://0.0.0.0:9000", True),
        ("http://LOCALHOST:9000", True),
        ("http://mock.localhost", True),
        ("http://mock-api:9000/v1", True),
        ("http://host.docker.internal:11434/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://vllm.models.svc.cluster.local", False),
    ],
)
def test_addresses_of_this_machine_and_its_network_are_local(url: str, *, local: bool) -> None:
    assert is_local(url) is local


@pytest.mark.parametrize("variable", PROXIES)
@pytest.mark.parametrize("named", ["", "corp.example.com"])
async def test_a_provider_on_this_machine_is_called_without_the_proxy(
    variable: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, DEAD_PROXY)
    monkeypatch.setenv("no_proxy", named)
    with json_server() as server:
        server.answers["GET /v1/models"] = 200, {}
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        base_url = load().openai.base_url
        async with open_connections(HTTPPolicy()) as connections:
            http = connections.to("openai", base_url, {}, lambda _: None)
            assert await http.get("/models") == b"{}"


def test_a_vault_agent_on_this_machine_is_called_without_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD_PROXY)
    with json_server() as server:
        server.answers["GET /v1/secret/data/a"] = 200, {"data": {"data": {"MAX_TOKENS": 7}}}
        for name, value in {
            "SECRETS_MANAGER": "vault",
            "SECRETS_NAME": "secret/a",
            "VAULT_ADDR": server.url,
            "VAULT_TOKEN": "hvs.canary",
        }.items():
            monkeypatch.setenv(name, value)
        assert load().max_tokens == 7


async def test_a_provider_elsewhere_is_called_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with json_server() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        proxy.answers["GET http://provider.test/v1/models"] = 200, {"through": "proxy"}
        monkeypatch.setenv("OPENAI_BASE_URL", "http://provider.test/v1")
        base_url = load().openai.base_url
        async with open_connections(HTTPPolicy()) as connections:
            http = connections.to("openai", base_url, {}, lambda _: None)
            assert b"proxy" in await http.get("/models")


def test_existing_entries_of_no_proxy_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", DEAD_PROXY)
    monkeypatch.setenv("NO_PROXY", ".corp, 10.0.0.0/8")
    monkeypatch.delenv("no_proxy")
    addresses = {"openai": {"base_url": "http://ollama:11434/v1"}, "other": "https://example.com"}
    for _ in range(2):  # the reloader and its child
        bypass_proxies(addresses)
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    assert os.environ["no_proxy"].split(",") == [
        *(".corp", "10.0.0.0/8"),
        *("127.0.0.1", "::1", "localhost", "host.docker.internal", "ollama"),
    ]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        *("socks5://127.0.0.1:1080", "socks4://h", "SOCKS5H://h:1", "socks://h:1"),
        *("garbage", "not a proxy", "http://", "://", "http://h:port", "ftp://h", "http://[::1"),
        *("%%%", "http:/h:1", '"http://h:1"', "http://h:1,g:2", "http://http://h", "3128"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_by_name(
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"  {variable}: ")
    assert "http://proxy.example.com:3128" in lines[0]


@pytest.mark.parametrize(
    "value",
    ["http://h:1", "h:3128", "127.0.0.1:1", "https://u:p%40@h:1/", "http://[::1]:1", "u:p@h:1", ""],
)
def test_a_proxy_that_can_be_used_is_accepted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert unusable() == []
    load()


@pytest.mark.parametrize(
    "value", ["*", "[::1", "http://[", ",,", "a b", "10.0.0.0/99", "h:port", "*.corp", "\\", "%"]
)
async def test_an_odd_no_proxy_does_not_stop_a_start(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", value)
    monkeypatch.setenv("HTTPS_PROXY", DEAD_PROXY)
    load()
    async with open_connections(HTTPPolicy()):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("module", [name for name in ("app", "evals") if find_spec(name)])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/missing.pem"),
        ("SSL_CERT_FILE", "/"),
        ("SSL_CERT_FILE", __file__),
        ("SSL_CERT_DIR", "/missing"),
        ("SSL_CERT_DIR", "/missing:/neither"),
    ],
)
def test_certificates_that_cannot_be_read_are_refused_by_name(
    module: str, variable: str, value: str
) -> None:
    """In a process of its own, which has read none yet."""
    root = Path(__file__).parents[1]
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", module, *(["config", "--check"] if module == "app" else [])],
        env={"PYTHONPATH": f"{root / 'src'}:{root}", variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EX_CONFIG, done.stderr
    assert f"  {variable}: " in done.stderr
    assert "Traceback" not in done.stderr
