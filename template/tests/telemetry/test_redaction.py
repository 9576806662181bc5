import json
import time

import pytest

from app.telemetry.redaction import masked

# Every secret has the word "canary" in it; a masked line must not.
SECRETS = {
    "OpenAI": "sk-proj-canary0123456789abcdef",
    "Anthropic": "sk-ant-api03-canary-0123456789abcdef",
    "bearer": "Bearer canary.0123456789",
    "AWS": "AKIACANARY0123456789",
    "AWS, for a while": "ASIACANARY0123456789",
    "Google": "AIzacanary0123456789abcdefghijklmnopqrs",
    "Vault": "hvs.canary0123456789abcdefghij",
    "JSON Web Token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canary-signature_0",
    "password=": "password=canary",
    "PASSWORD=": "DB_PASSWORD='canary'",
    "pwd in a query": "?user=a&pwd=canary&x=1",
    "client_secret": "client_secret=canary",
    "api key in a query": "https://host/path?api_key=canary",
    "a URL": "redis://user:canary@redis:6379/0",
    "a URL without a user": "redis://:canary@redis:6379/0",
    "x-api-key": "x-api-key: canary",
    "a printed header": "(b'x-api-key', b'canary')",
    "a printed dictionary": "{'X-Api-Key': 'canary', 'password': 'canary'}",
    "basic": "Authorization: Basic canary0123456789==",
    "basic without a header": "Basic canaryCanary",
    "token=": "token=canary",
    "access_token": '{"access_token": "canary"}',
    "a key with a space": "API key: canary-1x",
    "password: with a digit": "password: canary2",
    "of Azure": "AccountName=x;AccountKey=canary==;EndpointSuffix=y",
    "libpq": "host=db user=app password=canary dbname=x",
    "a private key": "-----BEGIN PRIVATE KEY-----canary+Canary/0123456789canary==-----END PRIVATE KEY-----",
    "a private key without an end": "-----BEGIN RSA PRIVATE KEY-----canary+Canary/0123",
    "a known value around": "sk-***-canary-0123456789",
}
CLEAN = (
    "risk-assessment-of-2026, task-force-one, sk-learn; AKIA is a prefix, AIza another",
    "the password: must be set; passwords are secret, keys too: a key, an api-key",
    "OPENAI_API_KEY: must be set in prod",
    "write to me@example.com or see https://example.com/a:b@c",
    "the password must be set; token limit = 4096, max_tokens=100, token=100, 'token': 3",
    "password: required, api_key: missing, The password: 8 characters, basic understanding",
    "eyJ is how it begins. Authorization is by header, e.g. Bearer or Basic",
    '{"prompt_tokens": 3, "first_text_ms": 1.5, "http://127.0.0.1:9000/v1": null}',
)


def canaries(line: bytes) -> int:
    return line.lower().count(b"canary")


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(
    "around",
    ["{}", "before {} after", "a\n{}\nb", "a\x1b[1m{}\x1b[0m", '"{}"', "key:\t{}", "\x07{}"],
    ids=["alone", "in a text", "on a line", "coloured", "quoted", "after a tab", "after a bell"],
)
def test_a_secret_is_masked_wherever_it_stands(secret: str, around: str) -> None:
    text = around.format(secret)
    for line in (text.encode(), json.dumps({"event": text}).encode()):
        assert canaries(line)
        assert canaries(masked(line)) == 0


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_line_of_json_stays_one(secret: str) -> None:
    nested = json.dumps({"event": secret, "body": json.dumps({"password": "canary", "x": secret})})
    left = masked(nested.encode())
    assert canaries(left) == 0
    assert json.loads(left)["event"]
    assert set(json.loads(json.loads(left)["body"])) == {"password", "x"}


@pytest.mark.parametrize("text", CLEAN)
def test_text_without_a_secret_is_unchanged(text: str) -> None:
    assert masked(text.encode()).decode() == text


def test_the_mask_names_the_kind_of_secret() -> None:
    line = b"sent Bearer canary0123456789 to redis://user:canary@host/0"
    assert masked(line) == b"sent Bearer *** to redis://user:***@host/0"


@pytest.mark.parametrize(
    "piece",
    [
        "sk-",
        "-eyJ",
        "eyJa.eyJ",
        "://a:",
        "password",
        "password  ",
        "x-api-key: ",
        "api_key: ",
        "api_key:  x",
        "token=",
        "Basic a",
        "hv",
        "AKIA",
        "@",
        "-----BEGIN PRIVATE KEY-----",  # gitleaks:allow
        "-----BEGIN ",
        "ghp_",
        "cohere=",
    ],
)
def test_it_takes_linear_time(piece: str) -> None:
    def seconds(repeats: int) -> float:
        line = (piece * repeats).encode() + b" sk-"
        return min(_timed(line) for _ in range(3))

    # Eight times the text takes some eight times as long; squared it would be 64.
    assert seconds(16_000) < 24 * seconds(2000) + 0.002


def _timed(line: bytes) -> float:
    started = time.process_time()
    masked(line)
    return time.process_time() - started
