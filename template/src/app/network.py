"""The network of this machine: local addresses, and the environment's proxies and certificates.

The HTTP client reads `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and similar variables by itself. An
invalid value would stop the start, or a call, with a traceback that does not name the variable.
"""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
# The syntax of curl and the HTTP client. A single word without a scheme and a port is a mistake.
_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
_PROXY = re.compile(
    rf"(https?://([^\s/]+@)?{_HOST}(:\d{{1,5}})?|([^\s/]+@)?{_HOST}:\d{{1,5}})/?", re.IGNORECASE
)
_DOCKER_HOST = "host.docker.internal"
_ALWAYS_LOCAL = ("127.0.0.1", "::1", "localhost", _DOCKER_HOST)


def is_local(url: str) -> bool:
    """Whether an address is local, so that no proxy is used even if `NO_PROXY` does not contain it.

    Local are loopback, the machine that runs the container, and names without a dot, which only the
    local network knows: `localhost`, a service of Compose, a service of Kubernetes.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host == _DOCKER_HOST or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def bypass_proxies(configured: object) -> None:
    """Add local hosts to `NO_PROXY`: loopback, and local addresses in the configuration.

    All HTTP clients of the process read it: the providers' clients, their SDKs, a secrets manager's
    client, and the exporter of traces. Without a proxy it has no effect.
    """
    if not any(name.upper() in _PROXIES and value for name, value in os.environ.items()):
        return
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for part in named.split(",") if (host := part.strip())]
    found = [urlsplit(url).hostname or "" for url in _urls(configured) if is_local(url)]
    value = ",".join(dict.fromkeys([*hosts, *_ALWAYS_LOCAL, *found]))
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = value  # clients differ in which one they read


def _urls(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _urls(part)
    elif isinstance(value, str) and value.startswith(("http://", "https://")):
        yield value


def unusable() -> list[str]:
    """Write one line for each variable that the HTTP client cannot use, without its value."""
    return [f"{name}: {flaw}" for name, flaw in _flaws(os.environ)]


def _flaws(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.upper() in _PROXIES and value and (flaw := _proxy_flaw(value)):
            yield name, flaw
    yield from _certificate_flaws(environ)


def _proxy_flaw(value: str) -> str | None:
    right = "must be the address of an HTTP proxy, like http://proxy.example.com:3128, or unset"
    if value.lower().startswith("socks"):
        return f"is a SOCKS proxy, which is not supported: it {right}"
    return None if _PROXY.fullmatch(value) else right


def _certificate_flaws(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    file, directory = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    if file and not Path(file).is_file():
        yield "SSL_CERT_FILE", "the file does not exist: it must be a PEM file, or unset"
    elif directory and not any(map(os.path.isdir, directory.split(os.pathsep))):
        yield "SSL_CERT_DIR", "the directory does not exist: it must have certificates, or be unset"
    else:
        try:
            ssl_context()
        except (OSError, ssl.SSLError):
            yield "SSL_CERT_FILE", "has no readable certificates: it must be a PEM file, or unset"


@cache
def ssl_context() -> ssl.SSLContext:
    """The TLS context of all HTTP clients, created once: reading certificates takes 15 to 70 ms."""
    return httpx.create_ssl_context()
