import pytest
from pydantic import ValidationError

from app.configuration.names import variables
from app.settings import Settings, load
from tests.refused_settings import refusal

KEY = "sk-canary-0123456789abcdef"


BAD = {
    "APP_ENV": "production",
    "HOST": "no/host",
    "PORT": "65536",
    "KEEP_ALIVE_S": "0",
    "SHUTDOWN_DELAY_S": "301",
    "SHUTDOWN_GRACE_S": "0",
    "MAX_CONNECTIONS_PER_ADDRESS": "2001",
    "MAX_BYTES_IN_FLIGHT": "1000",
    "DEBUG_MODE": "perhaps",
    "DEBUG_PORT": "0",
    "LOG_LEVEL": "LOUD",
    "LOG_PREVIEWS": "perhaps",
    "LOG_FORMAT": "xml",
    "ENABLE_TRACING": "perhaps",
    "LLM_PROVIDERS": "openai,skynet",
    "OPENAI_BASE_URL": "api.openai.com",
    "OPENAI_API_KEY": "ключ",
    "OPENAI_MODEL": " ",
    "OPENAI_EMBEDDING_MODEL": " ",
    "ANTHROPIC_BASE_URL": "ftp://api.anthropic.com",
    "ANTHROPIC_API_KEY": "Schlüssel",
    "ANTHROPIC_MODEL": " ",
    "TEMPERATURE": "2.1",
    "MAX_TOKENS": "0",
    "RETRY_MAX_ATTEMPTS": "11",
    "RETRY_BASE_DELAY_S": "-1",
    "RETRY_MAX_DELAY_S": "forever",
    "RETRY_MAX_WAIT_S": "0",
    "RETRY_DEADLINE_S": "4000",
    "RETRY_BUDGET_RATIO": "-0.1",
    "RETRY_BUDGET_RESERVE": "0",
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
    "RATE_LIMIT_TOKENS_PER_MINUTE": "-1",
    "RATE_LIMIT_BURST": "0",
    "RATE_LIMIT_STRICT": "sometimes",
    "RATE_LIMIT_MAX_WAIT_S": "601",
    "BREAKER_FAILURES": "0",
    "BREAKER_RESET_S": "0",
    "BREAKER_FAILURE_RATE": "1.1",
    "BREAKER_WINDOW_CALLS": "1",
    "BREAKER_WINDOW_S": "0",
    "HEDGE_AFTER_S": "0",
    "HEDGE_ADAPTIVE": "perhaps",
    "HEDGE_MAX_EXTRA": "0",
    "HEALTH_PROBE_INTERVAL_S": "-1",
    "REQUEST_TIMEOUT_S": "nan",
    "STREAM_CHUNK_TIMEOUT_S": "inf",
    "STREAM_FIRST_CHUNK_TIMEOUT_S": "601",
    "STREAM_SILENCE_TIMEOUT_S": "3601",
    "MAX_CONCURRENCY": "0",
    "QUEUE_LENGTH": "-1",
    "QUEUE_TIMEOUT_S": "0",
    "HTTP_TRANSPORT": "requests",
    "ENABLE_CACHING": "2",
    "CACHE_TTL_S": "0",
    "CACHE_STALE_TTL_S": "-1",
    "REDIS_URL": "http://redis",
    "REDIS_CA_FILE": "nowhere.pem",
    "REDIS_CERT_FILE": "nowhere.pem",
    "REDIS_KEY_FILE": "nowhere.pem",
    "REDIS_PREFIX": "{shop}",
    "PRICES_FILE": "nowhere.toml",
    "ADMIN_PORT": "0",
    "WORKERS": "65",
    "CLIENT_KEYS": "acme:not-a-hash",
    "CLIENT_AUTH": "perhaps",
    "CLIENT_REQUESTS_PER_MINUTE": "0",
    "CLIENT_TOKENS_PER_MINUTE": "many",
    "CLIENT_CONCURRENCY": "10001",
    "CLIENT_BUDGET_USD_PER_DAY": "0",
    "MAX_TOKENS_LIMIT": "0",
    "ALLOWED_MODELS": "two words",
    "CORS_ORIGINS": "app.example.com",
    "DOCUMENTS_STORE": "sqlite",  # feature: ask
    "DOCUMENTS_POSTGRES_URL": "mysql://db",  # feature: ask
    "DOCUMENTS_POSTGRES_PREFIX": "two words",  # feature: ask
    "DOCUMENTS_POSTGRES_POOL_SIZE": "1",  # feature: ask
    "DOCUMENTS_POSTGRES_TIMEOUT_S": "0",  # feature: ask
    "DOCUMENTS_DIR": "nowhere",  # feature: ask
    "DOCUMENTS_INDEX_PATH": "nowhere/index",  # feature: ask
    "DOCUMENTS_CHUNK_CHARS": "199",  # feature: ask
    "DOCUMENTS_TOP_K": "0",  # feature: ask
    "DOCUMENTS_MIN_SCORE": "1.1",  # feature: ask
    "DOCUMENTS_CONTEXT_CHARS": "0",  # feature: ask
    "DOCUMENTS_SEARCH_TOOL": "perhaps",  # feature: ask
    "DOCUMENTS_SEARCH_MAX_ROUNDS": "0",  # feature: ask
    "DOCUMENTS_SEARCH_MAX_TIME_S": "0",  # feature: ask
    "DOCUMENTS_SEARCH_MAX_COST_USD": "0",  # feature: ask
    "JOBS_MAX_ITEMS": "10001",  # feature: jobs
    "JOBS_MAX_PER_CLIENT": "0",  # feature: jobs
    "JOBS_RESULTS_TTL_S": "59",  # feature: jobs
    "JOBS_CONCURRENCY": "0",  # feature: jobs
    "JOBS_LEASE_S": "4",  # feature: jobs
    "JOBS_MAX_DELIVERIES": "0",  # feature: jobs
    "JOBS_MAX_WAIT_S": "-1",  # feature: jobs
    "JOBS_BATCH_POLL_S": "0",  # feature: jobs
    "CONFIG_FILE": "nowhere.yaml",
    "SECRETS_MANAGER": "keepass",
    "SECRETS_NAME": "two words",
    "SECRETS_DIR": "relative",
    "SECRETS_TIMEOUT_S": "61",
    "AWS_REGION": "Frankfurt am Main",
    "GOOGLE_CLOUD_PROJECT": "My Project",
    "VAULT_ADDR": "https://vault/v1/secret",
    "VAULT_NAMESPACE": "a b",
    "VAULT_TOKEN": "Schlüssel",
    "VAULT_ROLE_ID": "ключ",
    "VAULT_SECRET_ID": "ключ",
}


ANY_TEXT = "Any text, with 3 spaces"


def is_any_text(settings: type[Settings], name: str) -> bool:
    """Whether the setting accepts `ANY_TEXT`, the value of its variable."""
    try:
        found: object = settings()
    except ValidationError:
        return False
    for part in variables(settings)[name]:
        found = getattr(found, part)
    return found == ANY_TEXT


def test_a_limit_of_tokens_that_no_call_fits_into_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RATE_LIMIT_TOKENS_PER_MINUTE", "1024")
    assert refusal(capsys) == ["RATE_LIMIT_TOKENS_PER_MINUTE"]
    monkeypatch.setenv("MAX_TOKENS", "1023")
    assert load().rate_limit.tokens_per_minute == 1024


@pytest.mark.parametrize("name", variables(Settings))
def test_a_bad_value_of_every_setting_is_refused_by_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in BAD:
        monkeypatch.setenv(name, BAD[name])
        assert refusal(capsys) == [name]
    else:
        monkeypatch.setenv(name, ANY_TEXT)
        assert is_any_text(Settings, name), f"{name} is not a plain text: give it a value in BAD"


class Extended(Settings):
    contact: str = "the platform team"


@pytest.mark.parametrize(
    ("name", "is_plain"), [("CONTACT", True), ("LOG_LEVEL", False), ("HOST", False)]
)
def test_only_a_plain_text_needs_no_bad_value(
    name: str, *, is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, ANY_TEXT)
    assert is_any_text(Extended, name) is is_plain


def test_all_invalid_settings_are_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in BAD.items():
        monkeypatch.setenv(name, value)
    assert sorted(refusal(capsys)) == sorted(BAD)


@pytest.mark.parametrize("value", [KEY + " ", KEY + "\u20ac"], ids=["good", "bad"])
def test_a_key_is_in_no_message_and_no_repr(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    monkeypatch.setenv("REDIS_URL", f"redis://:{KEY}@redis")
    try:
        shown = f"{load()!r} {load()} {load().model_dump()}"
    except SystemExit:
        shown = "".join(capsys.readouterr())
    assert "api_key" in shown.lower()
    assert KEY not in shown


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"redis://:{KEY}/x@redis:6379", id="a slash in the password"),
        pytest.param(f"redis://:{KEY}#x@redis:6379", id="a hash in the password"),
        pytest.param(f"redis://:{KEY}@redis:port", id="a port that is none"),
        pytest.param(f"redis://:{KEY}@redis?patience=1", id="an option that is none"),
        pytest.param(f"redis://:{KEY}@redis?socket_timeout={KEY}", id="the value of an option"),
        pytest.param(f"rediss://:{KEY}@redis?ssl_cert_reqs=perhaps", id="a choice that is none"),
        pytest.param(f"redis+cluster://:{KEY}@a,b?patience=1", id="an option of a cluster"),
        pytest.param(f"redis+sentinel://:{KEY}@a,b/shop?patience=1", id="an option of Sentinel"),
    ],
)
def test_an_address_that_redis_would_choke_on_is_refused_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(SystemExit):
        load()
    message = capsys.readouterr().err
    assert "  REDIS_URL: must be like" in message
    assert KEY not in message


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "rediss://u:p%2Fq@redis:6380/1?ssl_cert_reqs=none",
        "unix:///run/redis",
        "redis+cluster://u:p@one:7000,two",
        "rediss+sentinel://u:p@one,two:26380/shop/1?sentinel_password=q",
    ],
)
def test_an_address_that_redis_understands_is_taken(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    assert load().redis_url is not None


def test_a_key_is_not_in_the_error_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", KEY)
    with pytest.raises(ValidationError) as error:
        Settings()
    assert KEY not in str(error.value)


@pytest.mark.parametrize("value", ["openai,openai", ","], ids=["the same one twice", "none at all"])
def test_the_chain_of_providers_makes_sense(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", value)
    assert refusal(capsys) == ["LLM_PROVIDERS"]


@pytest.mark.parametrize("provider", ["anthropic", "anthropic-sdk"])
def test_a_temperature_that_anthropic_would_refuse_is_refused_at_the_start(
    provider: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", f"openai,{provider}")
    monkeypatch.setenv("TEMPERATURE", "1.1")
    assert refusal(capsys) == ["TEMPERATURE"]


@pytest.mark.parametrize(("providers", "temperature"), [("openai", 2.0), ("openai,anthropic", 1.0)])
def test_a_temperature_that_every_provider_takes_is_taken(
    providers: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", providers)
    monkeypatch.setenv("TEMPERATURE", str(temperature))
    assert load().temperature == temperature
