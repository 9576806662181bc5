"""A key of each of many kinds, as people paste them. They are put together here, so that no file has one."""

import base64
import json
import random
import string

_random = random.Random(7)  # noqa: S311  # these open nothing
_LETTERS = string.ascii_letters + string.digits
_CAPITALS = string.ascii_uppercase + string.digits
_BASE32 = string.ascii_uppercase + "234567"
_BASE64 = _LETTERS + "+/"
_URL_SAFE = _LETTERS + "-_"
_HEX = "0123456789abcdef"
_DIGITS = "123456789"


def _some(length: int, alphabet: str = _LETTERS) -> str:
    return "".join(_random.choices(alphabet, k=length))


def _web_token() -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890", "iat": 1516239022})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join([*(part.rstrip("=") for part in encoded), _some(43, _URL_SAFE)])


def _private_key(kind: str) -> str:
    lines = [f"-----BEGIN {kind}PRIVATE KEY-----", _some(64, _BASE64), _some(64, _BASE64)]
    return "\n".join([*lines, f"-----END {kind}PRIVATE KEY-----"])


# The text, and the part of it that must not be read by anyone.
_TEMPLATES: dict[str, tuple[str, str]] = {
    "Anthropic": ('client = Client("sk-ant-api03-{}AA")', _some(93, _URL_SAFE)),
    "Anthropic in a notebook": (
        '{{"source": ["Client(\\"sk-ant-api03-{}AA\\")"]}}',
        _some(93, _URL_SAFE),
    ),
    "Anthropic in a cassette": ("x-api-key: ['sk-ant-api03-{}AA']", _some(93, _URL_SAFE)),
    "OpenAI": ("OPENAI_API_KEY=sk-{}", _some(20) + "T3BlbkFJ" + _some(20)),
    "OpenAI, a project's": (
        'KEY = "sk-proj-{}"',
        _some(74, _URL_SAFE) + "T3BlbkFJ" + _some(74, _URL_SAFE),
    ),
    "OpenAI, a service account's": (
        "curl -H 'authorization: Bearer sk-svcacct-{}'",
        _some(74, _URL_SAFE),
    ),
    "Azure OpenAI": ("AZURE_OPENAI_API_KEY={}", _some(32, _HEX)),
    "Cohere": ("COHERE_API_KEY={}", _some(40)),
    "DeepSeek": ("DEEPSEEK_API_KEY=sk-{}", _some(32, _HEX)),
    "Groq": ("the key is gsk_{}", _some(52)),
    "Hugging Face": ("token = 'hf_{}'", _some(34)),
    "LangSmith": ("lsv2_pt_{}", _some(32, _HEX) + "_" + _some(10, _HEX)),
    "Mistral": ("MISTRAL_API_KEY={}", _some(32)),
    "NVIDIA": ("nvapi-{}", _some(64, _URL_SAFE)),
    "OpenRouter": ("sk-or-v1-{}", _some(64, _HEX)),
    "Perplexity": ("PPLX=pplx-{}", _some(48)),
    "Replicate": ("r8_{}", _some(37)),
    "xAI": ("xai-{}", _some(80)),
    "Google": ('{{"key": "AIza{}"}}', _some(35, _URL_SAFE)),
    "Google, an OAuth client's": ("GOCSPX-{}", _some(28, _URL_SAFE)),
    "Google, a service account's": (
        '"private_key": "-----BEGIN PRIVATE ' + 'KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n"',
        _some(400),
    ),
    "AWS, an id": ("aws_access_key_id = AKIA{}", _some(16, _BASE32)),
    "AWS, a temporary id": ("ASIA{}", _some(16, _BASE32)),
    "AWS, a secret": ("aws_secret_access_key = {}", _some(40, _BASE64)),
    "AWS, a secret variable": ("AWS_SECRET_ACCESS_KEY={}", _some(40, _BASE64)),
    "Azure storage": (
        "AccountName=x;AccountKey={};EndpointSuffix=core.windows.net",
        _some(86, _BASE64) + "==",
    ),
    "Azure, a client's secret": ("client_secret = 'abC8Q~{}'", _some(34)),
    "GitHub": ("token: ghp_{}", _some(36)),
    "GitHub, OAuth": ("gho_{}", _some(36)),
    "GitHub, fine-grained": ("github_pat_{}", _some(82)),
    "GitLab": ("glpat-{}", _some(20)),
    "Slack, a bot's": ("xoxb-{}", f"{_some(12, _DIGITS)}-{_some(12, _DIGITS)}-{_some(24)}"),
    "Slack, an app's": (
        "xapp-1-{}",
        f"A{_some(10, _CAPITALS)}-{_some(13, _DIGITS)}-{_some(64, _HEX)}",
    ),
    "Slack, a webhook": (
        "https://hooks.slack.com/services/T{}",
        f"{_some(10, _CAPITALS)}/B{_some(10, _CAPITALS)}/{_some(24)}",
    ),
    "Discord, a webhook": (
        "https://discord.com/api/webhooks/{}",
        f"{_some(18, _DIGITS)}/{_some(68)}",
    ),
    "Stripe": ("sk_live_{}", _some(24)),
    "Stripe, restricted": ("rk_live_{}", _some(24)),
    "SendGrid": ("SG.{}", f"{_some(22)}.{_some(43)}"),
    "Twilio": ("SK{}", _some(32, _HEX)),
    "Mailgun": ("MAILGUN_API_KEY=key-{}", _some(32, _HEX)),
    "Telegram": ("TELEGRAM_BOT_TOKEN={}", f"{_some(10, _DIGITS)}:AA{_some(33)}"),
    "npm": ("//registry/:_authToken=npm_{}", _some(36)),
    "PyPI": ("pypi-AgEIcHlwaS5vcmc{}", _some(120)),
    "Vault": ("VAULT_TOKEN=hvs.{}", _some(95)),
    "Databricks": ("dapi{}", _some(32, _HEX)),
    "DigitalOcean": ("dop_v1_{}", _some(64, _HEX)),
    "Docker Hub": ("dckr_pat_{}", _some(27)),
    "Doppler": ("dp.pt.{}", _some(43)),
    "Grafana": ("glsa_{}", f"{_some(32)}_{_some(8, _HEX)}"),
    "Linear": ("lin_api_{}", _some(40)),
    "New Relic": ("NRAK-{}", _some(27, _CAPITALS)),
    "Shopify": ("shpat_{}", _some(32, _HEX)),
    "age": ("AGE-SECRET-KEY-1{}", _some(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
    "a web token": ("{}", _web_token()),
    "an RSA key": ("{}", _private_key("RSA ")),
    "an OpenSSH key": ("{}", _private_key("OPENSSH ")),
    "a database's address": ("DATABASE_URL=postgres://app:{}@db.internal:5432/app", _some(20)),
    "Redis's address": ("redis://:{}@redis:6379/0", _some(24)),
    "a password": ('password = "{}"', _some(18) + "Aa1#"),
    "a token of unknown form": ("SERVICE_TOKEN={}", _some(32)),
    "a key before a comment": ("SERVICE_API_KEY={}  # the new one", _some(40)),
    "a key in JSON": ('{{"service_api_key": "{}"}}', _some(32)),
}

KINDS = {kind: (text.format(secret), secret) for kind, (text, secret) in _TEMPLATES.items()}
