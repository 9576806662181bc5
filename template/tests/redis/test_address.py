"""The forms of `REDIS_URL`: what each one means, and what is wrong with others."""

import pytest

from app.redis.address import AddressError, Host, parsed


def test_a_cluster_has_hosts_credentials_and_options() -> None:
    address = parsed("redis+cluster://me:p%2Fq@one:7001,[::1]/?health_check_interval=30")
    assert address.kind == "cluster"
    assert address.hosts == (Host("one", 7001), Host("::1", 6379))
    assert address.options == {"username": "me", "password": "p/q", "health_check_interval": 30}


def test_sentinels_have_hosts_a_service_and_a_database() -> None:
    address = parsed("redis+sentinel://:secret@one,two:26380/shop/2")
    assert address.kind == "sentinel"
    assert address.hosts == (Host("one", 26379), Host("two", 26380))
    assert (address.service, address.options) == ("shop", {"password": "secret", "db": 2})
    assert address.sentinel_options == {}


def test_sentinels_with_a_password_of_their_own_get_it_and_not_that_of_redis() -> None:
    address = parsed("redis+sentinel://:secret@one/shop?sentinel_password=other")
    assert address.sentinel_options == {"password": "other"}
    assert address.options == {"password": "secret"}


def test_sentinels_have_a_user_of_their_own_too() -> None:
    address = parsed("redis+sentinel://one/shop?sentinel_username=watcher")
    assert address.sentinel_options == {"username": "watcher"}
    assert address.options == {}


@pytest.mark.parametrize("port", [1, 65535])
def test_each_port_is_allowed(port: int) -> None:
    assert parsed(f"redis+cluster://one:{port}").hosts == (Host("one", port),)


@pytest.mark.parametrize("path", ["", "/", "/0", "?db=0"])
def test_the_only_database_of_a_cluster_may_be_named(path: str) -> None:
    assert parsed(f"redis+cluster://one{path}").options == {}


def test_a_password_may_have_the_characters_of_a_scheme() -> None:
    address = parsed("rediss+cluster://:x:y+z@one")
    assert (address.hosts, address.options["password"]) == ((Host("one", 6379),), "x:y+z")


def test_tls_holds_for_redis_and_for_its_sentinels() -> None:
    address = parsed("rediss+sentinel://one/shop?ssl_ca_certs=/ca.pem")
    assert address.options == {"ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert address.sentinel_options == address.options
    assert parsed("rediss+cluster://one").options == {"ssl": True}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("http://one", "must begin with one of redis://, rediss://", id="scheme"),
        pytest.param("one:6379", "must begin with", id="no-scheme"),
        pytest.param("redis+cluster://", "must name hosts", id="no-host"),
        pytest.param("redis+cluster://one,,two", "must name hosts", id="an-empty-host"),
        pytest.param("redis+cluster://one:0", "must name hosts", id="port-0"),
        pytest.param("redis+cluster://one:65536", "must name hosts", id="port-too-high"),
        pytest.param("redis+cluster://:a/b@one", "a password / is %2F", id="slash-in-password"),
        pytest.param("redis+cluster://:a#b@one", "a password / is %2F", id="hash-in-password"),
        pytest.param("redis+cluster://one/1", "a cluster has only one", id="database"),
        pytest.param("redis+cluster://one?db=1", "a cluster has only one", id="database-option"),
        pytest.param("redis+sentinel://one,two", "must name the service", id="no-service"),
        pytest.param("redis+sentinel://one/shop/x", "a number as database", id="no-number"),
        pytest.param("redis+sentinel://one/shop/12345", "with a number as", id="a-long-number"),
    ],
)
def test_an_address_that_is_wrong_is_refused_with_the_right_form(url: str, why: str) -> None:
    with pytest.raises(AddressError, match=why):
        parsed(url)
