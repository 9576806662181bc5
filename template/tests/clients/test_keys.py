"""Keys of clients: their entries in the settings, and how a presented key is compared."""

import statistics
import time
from contextlib import suppress
from datetime import date
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

import pytest

from app.clients.keys import ClientKey, InvalidKeyError, KeyRing, parse_keys
from app.configuration.refusal import EX_CONFIG
from app.settings import load
from scripts.client_key import entry as new_entry
from scripts.client_key import new_key
from tests.client_keys import CLIENT_KEYS, KEYS, entry

HASH = sha256(b"key").hexdigest()
ACME = ClientKey("acme", sha256(b"key").digest())


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param(f"acme:{HASH}", ["acme"], id="one"),
        pytest.param(f" Acme_Shop : {HASH.upper()} ,", ["acme-shop"], id="another spelling"),
        pytest.param(f"a:{HASH},a:{'0' * 64}", ["a", "a"], id="two of one client"),
        pytest.param({"a": HASH, "b": ["0" * 64, "1" * 64]}, ["a", "b", "b"], id="a mapping"),
        pytest.param(f'{{"a": "{HASH}"}}', ["a"], id="JSON"),
        pytest.param([f"a:{HASH}"], ["a"], id="a list"),
    ],
)
def test_an_entry_is_a_name_and_a_hash(value: object, names: list[str]) -> None:
    found = parse_keys(value)
    assert isinstance(found, tuple)
    assert [key.name for key in found] == names
    assert found[0].digest in {bytes.fromhex(HASH), bytes(32)}


def test_an_entry_may_have_a_last_day() -> None:
    assert parse_keys(f"acme:{HASH}:2027-01-31") == (
        ClientKey("acme", bytes.fromhex(HASH), date(2027, 1, 31)),
    )


@pytest.mark.parametrize(
    "value",
    [
        "acme",
        "acme:",
        f":{HASH}",
        f"acme:{HASH[:-1]}",
        f"acme:{HASH}0",
        "acme:ck_the-key-itself",
        f"acme:{HASH}:",
        f"acme:{HASH}:soon",
        f"acme:{HASH}:2027-02-30",
        f"1acme:{HASH}",
        f"{'a' * 65}:{HASH}",
        f"acme:globex:{HASH}",
        f"acme:{HASH},globex:{HASH}",
        f"acme:{HASH};globex:{'0' * 64}",
        "{not JSON",
        {"acme": 5},
        7,
        ",",
    ],
    ids=str,
)
def test_an_invalid_entry_is_refused_without_its_value(value: object) -> None:
    with pytest.raises(ValueError, match=r"^(entry \d|has no key|begins with)") as error:
        parse_keys(value)
    assert "the-key-itself" not in str(error.value)


@pytest.mark.parametrize(("today", "valid"), [(31, True), (30, True), (None, False)])
def test_a_key_is_valid_through_its_last_day(today: int | None, *, valid: bool) -> None:
    now = date(2027, 1, today) if today else date(2027, 2, 1)
    ring = KeyRing([ClientKey("acme", ACME.digest, date(2027, 1, 31))], today=lambda: now)
    if valid:
        assert ring.owner(b"key") == "acme"
    else:
        with pytest.raises(InvalidKeyError) as error:
            ring.owner(b"key")
        assert error.value.reason == "expired"


def test_each_of_a_clients_keys_is_valid() -> None:
    ring = KeyRing([ACME, ClientKey("acme", sha256(b"new").digest())])
    assert (ring.owner(b"key"), ring.owner(b"new")) == ("acme", "acme")


@pytest.mark.parametrize("presented", [b"first", b"last", b"unknown", b""])
def test_every_comparison_is_with_all_keys_and_takes_constant_time(
    presented: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the place of a key in the list nor a common prefix changes the work."""
    names = [b"first", *(b"%d" % number for number in range(100)), b"last"]
    ring = KeyRing([ClientKey("acme", sha256(name).digest()) for name in names])
    compared: list[tuple[bytes, bytes]] = []

    def noted(one: bytes, two: bytes) -> bool:
        compared.append((one, two))
        return compare_digest(one, two)

    monkeypatch.setattr("app.clients.keys.compare_digest", noted)
    with suppress(InvalidKeyError):
        ring.owner(presented)
    digest = sha256(presented).digest()
    assert compared == [(sha256(name).digest(), digest) for name in names]


def test_no_text_of_a_key_contains_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_KEYS", CLIENT_KEYS)
    settings = load()
    assert settings.client.keys is not None
    for text in (repr(settings), str(settings), str(settings.client.keys[0])):
        assert entry("acme").partition(":")[2] not in text
        assert str(sha256(KEYS["acme"].encode()).digest()) not in text
    assert str(settings.client.keys[0]) == "acme:***"


def test_keys_are_read_from_yaml(tmp_path: Path) -> None:
    lines = (
        f"client:\n  keys:\n    acme: [{HASH}, '{'0' * 64}:2027-01-31']\n    globex: '{'1' * 64}'\n"
    )
    (tmp_path / "config.yaml").write_text(lines)
    keys = load().client.keys or ()
    assert [str(key) for key in keys] == ["acme:***", "acme:***:2027-01-31", "globex:***"]


def test_a_new_key_fits_its_entry() -> None:
    key = new_key()
    assert len(key) > 40
    assert new_key() != key
    parsed = parse_keys(new_entry("acme", key, date(2027, 1, 31)))
    assert isinstance(parsed, tuple)
    assert KeyRing(parsed, today=lambda: date(2027, 1, 1)).owner(key.encode()) == "acme"


class TestLimitsOfOneClient:
    @pytest.fixture(autouse=True)
    def _keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLIENT_KEYS", f"mobile-app:{HASH}")

    def test_they_complete_the_defaults(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLIENT_CONCURRENCY", "4")
        monkeypatch.setenv("CLIENT_REQUESTS_PER_MINUTE", "60")
        monkeypatch.setenv("CLIENTS__MOBILE_APP__REQUESTS_PER_MINUTE", "600")
        settings = load()
        limits = settings.clients["mobile-app"].over(settings.client)
        assert (limits.requests_per_minute, limits.concurrency) == (600, 4)
        assert limits.budget_usd_per_day is None

    def test_they_are_read_from_yaml(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_text("clients: {mobile_app: {concurrency: 2}}")
        assert load().clients["mobile-app"].concurrency == 2

    @pytest.mark.parametrize(
        ("variable", "message"),
        [
            ("CLIENTS__MOBILE_APP__PARALLEL", "is not a setting of a client"),
            ("CLIENTS__OTHER__CONCURRENCY=9", "the client has no key in CLIENT_KEYS"),
            ("CLIENTS__1__CONCURRENCY", "the name of a client must begin with a letter"),
            ("CLIENTS__MOBILE_APP__TOKENS_PER_MINUTE", "greater than or equal to 1"),
        ],
    )
    def test_a_limit_without_effect_is_refused(
        self,
        variable: str,
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        name, _, value = variable.partition("=")
        monkeypatch.setenv(name, value or "0")
        with pytest.raises(SystemExit) as end:
            load()
        assert end.value.code == EX_CONFIG
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        pytest.param({"APP_ENV": "staging"}, True, id="staging"),
        pytest.param({"APP_ENV": "staging", "CLIENT_AUTH": "off"}, False, id="off"),
        pytest.param({"APP_ENV": "staging", "CLIENT_KEYS": CLIENT_KEYS}, False, id="keys"),
        pytest.param({"CLIENT_AUTH": "required"}, True, id="dev that requires keys"),
        pytest.param({}, False, id="dev"),
    ],
)
def test_a_service_that_needs_keys_does_not_start_without(
    given: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    refused: bool,
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    if not refused:
        load()
        return
    with pytest.raises(SystemExit) as end:
        load()
    assert end.value.code == EX_CONFIG
    assert "CLIENT_KEYS: must be set: `make client-key NAME=…`" in capsys.readouterr().err


def test_the_port_for_operators_is_not_the_port_of_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADMIN_PORT", "8000")
    with pytest.raises(SystemExit):
        load()
    assert "ADMIN_PORT: must differ from PORT" in capsys.readouterr().err


def test_a_ceiling_below_the_default_length_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAX_TOKENS_LIMIT", "1000")
    with pytest.raises(SystemExit):
        load()
    assert "MAX_TOKENS_LIMIT: must not be below MAX_TOKENS" in capsys.readouterr().err


@pytest.mark.slow  # it measures time, so it is not among the tests that run all at once
@pytest.mark.parametrize("other", ["last", "unknown"])
def test_the_time_of_10_000_pairs_says_nothing_about_the_place_of_a_key(other: str) -> None:
    names = [f"client-{number}" for number in range(200)]
    ring = KeyRing(ClientKey(name, sha256(name.encode()).digest()) for name in names)
    first, second = names[0].encode(), {"last": names[-1], "unknown": "stranger"}[other].encode()
    took: dict[bytes, list[int]] = {first: [], second: []}
    for number in range(10_000):
        for presented in (first, second) if number % 2 else (second, first):
            began = time.perf_counter_ns()
            with suppress(InvalidKeyError):
                ring.owner(presented)
            took[presented].append(time.perf_counter_ns() - began)
    ratio = statistics.median(took[second]) / statistics.median(took[first])
    assert 0.8 < ratio < 1.25
