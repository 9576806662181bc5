"""The forms of `REDIS_URL`: one server, a cluster, or servers that Sentinel watches.

One server has an address as redis-py knows it. A cluster and Sentinel have several hosts:

- `redis+cluster://user:password@host1:6379,host2:6379/`: any nodes of the cluster; they name the others.
- `redis+sentinel://user:password@host1:26379,host2:26379/service/0`: the Sentinels. The password is that
  of Redis; Sentinels with one of their own have it in the options `sentinel_username` and `sentinel_password`.

`rediss` instead of `redis` encrypts all connections. Options after `?` are those of redis-py.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from redis.asyncio.connection import parse_url

Kind = Literal["server", "cluster", "sentinel"]

SCHEMES: Mapping[str, Kind] = {
    "redis": "server",
    "rediss": "server",
    "unix": "server",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
}
# Without `urlsplit`: since Python 3.13.5 it refuses a list of hosts with an IPv6 address.
_URL = re.compile(r"[^:]*://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_PORTS: Mapping[Kind, int] = {"cluster": 6379, "sentinel": 26379}
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?")
_MAX_PORT = 65535
_WRONG_HOSTS = (
    "must name hosts like host1:6379,host2:6379; in a password / is %2F, # is %23 and ? is %3F"
)


class AddressError(ValueError):
    """What is wrong with an address, without its parts: they may contain a password."""


class _Parts(NamedTuple):
    netloc: str
    path: str
    query: str
    fragment: str


class Host(NamedTuple):
    name: str
    port: int


class RedisAddress(NamedTuple):
    """`options` are arguments of redis-py's connections, `sentinel_options` those to the Sentinels."""

    kind: Kind
    options: Mapping[str, Any]
    hosts: tuple[Host, ...] = ()
    service: str = ""
    sentinel_options: Mapping[str, Any] = {}


def parsed(url: str) -> RedisAddress:
    """Parse an address of any form. Raises `AddressError`."""
    kind = SCHEMES.get(url.partition("://")[0])
    if kind is None:
        raise AddressError(f"must begin with one of {', '.join(f'{name}://' for name in SCHEMES)}")
    if kind == "server":
        return RedisAddress(kind, _options(url))
    return _cluster(url) if kind == "cluster" else _sentinel(url)


def _cluster(url: str) -> RedisAddress:
    hosts, options = _hosts(url, "cluster"), _options(url)
    if _parts(url).path not in {"", "/", "/0"} or options.pop("db", 0):
        raise AddressError("must have no database: a cluster has only one")
    return RedisAddress("cluster", options, hosts)


def _sentinel(url: str) -> RedisAddress:
    hosts = _hosts(url, "sentinel")
    service, _, database = _parts(url).path.strip("/").partition("/")
    if not service:
        raise AddressError(
            "must name the service after the Sentinels, like redis+sentinel://host1:26379,host2:26379/mymaster"
        )
    if not re.fullmatch(r"\d{0,4}", database):
        raise AddressError("must end with /SERVICE or /SERVICE/DATABASE, with a number as database")
    options = _options(url)
    own = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    shared = {name: value for name, value in options.items() if name.startswith("ssl")}
    sentinel = {**shared, **{name: value for name, value in own.items() if value}}
    if database:
        options["db"] = int(database)
    return RedisAddress("sentinel", options, hosts, service, sentinel)


def _hosts(url: str, kind: Kind) -> tuple[Host, ...]:
    parts = _parts(url)
    if "@" in parts.path + parts.fragment:  # the host, after a / or # in the password
        raise AddressError(_WRONG_HOSTS)
    return tuple(_host(name, _PORTS[kind]) for name in parts.netloc.rpartition("@")[2].split(","))


def _parts(url: str) -> _Parts:
    """The parts of an address with a known scheme; those that it does not have are empty."""
    return _Parts(*_URL.findall(url)[0])


def _host(named: str, port: int) -> Host:
    found = _HOST.fullmatch(named)
    if found is None or int(found[2] or port) not in range(1, _MAX_PORT + 1):
        raise AddressError(_WRONG_HOSTS)
    return Host(found[1].strip("[]"), int(found[2] or port))


def _options(url: str) -> dict[str, Any]:
    """The options and credentials, as redis-py reads them; for several hosts without a host."""
    scheme, _, _ = url.partition("://")
    if SCHEMES[scheme] != "server":
        parts = _parts(url)
        credentials = "".join(parts.netloc.rpartition("@")[:2])
        url = f"{scheme.partition('+')[0]}://{credentials}host/?{parts.query}"
    options: dict[str, Any] = dict(parse_url(url))
    if SCHEMES[scheme] != "server":
        del options["host"]
        is_encrypted = options.pop("connection_class", None) is not None
        options |= {"ssl": True} if is_encrypted else {}
    return options
