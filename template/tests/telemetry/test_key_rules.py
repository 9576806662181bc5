import base64
import hashlib
import json
import re
import time
import uuid
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry import key_rules
from app.telemetry.key_rules import entropy, found, masked_keys
from app.telemetry.redaction import masked, masked_text, preview
from tests.telemetry.kinds_of_keys import KINDS

RULES = json.loads(Path(key_rules.__file__).with_name("key_rules.json").read_text())
STARTS = sorted({rule[1][0] for rule in (*RULES["forms"], *RULES["named"])})


def lines_of(secret: str) -> list[str]:
    """The lines of a secret: of a private key only those between its first and its last line."""
    return [line for line in secret.splitlines() if "PRIVATE KEY" not in line]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", ["{}", "Why is {} refused?", "Zeile\n{}\n下一行"])
def test_a_key_of_each_kind_is_masked(kind: str, around: str) -> None:
    text, secret = KINDS[kind]
    event = {"event": "llm.call", "prompt": around.format(text), "answer": "It is too old."}
    line = masked(json.dumps(event).encode()).decode()
    logged = json.loads(line)
    assert logged["event"] == "llm.call"
    assert logged["answer"] == "It is too old."
    for shown in (logged["prompt"], masked_text(around.format(text))):
        assert not any(part[-12:] in shown or part[:12] in shown for part in lines_of(secret))
        for piece in around.split("{}"):
            assert piece.strip() in shown


@pytest.mark.parametrize("kind", KINDS)
def test_a_preview_that_ends_in_a_key_has_no_part_of_it(kind: str) -> None:
    text, secret = KINDS[kind]
    at = text.index(lines_of(secret)[0])
    for length in (at + 6, at + 12, at + 18):
        shown = preview(f"{text} is my key", length)
        assert lines_of(secret)[0][:6] not in shown


def test_there_are_more_kinds_than_are_asked_for() -> None:
    assert len(KINDS) >= 60
    assert len(RULES["forms"]) + len(RULES["named"]) >= 350


_DIGEST = hashlib.sha512(b"an image").digest()
_IMAGE = base64.b64encode(b"\x89PNG" + b"".join(hashlib.sha256(bytes([n])).digest() for n in range(250)))  # fmt: skip
ORDINARY = {
    "UUIDs": "6f1d2c3b-aaaa-4bbb-8ccc-0123456789ab " + str(uuid.UUID(int=2**127 - 1)),
    "an id": '{"id": "chatcmpl-9x8y7z6w5v4u3t2s1r0q", "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}',
    "hashes": f"sha256:{_DIGEST.hex()[:64]} {_DIGEST.hex()[:40]} integrity {_DIGEST.hex()}",
    "a lock": f"one==1.0 \\\n    --hash=sha256:{_DIGEST.hex()[:64]}",
    "an image": f"data:image/png;base64,{_IMAGE.decode()}",
    "a beginning of a key inside an image": f"{_IMAGE[:80].decode()}/BSA{_IMAGE[80:112].hex()[:30]}/x",
    "German": "Donaudampfschifffahrtsgesellschaftskapitän: Schlüssel, Zugangsberechtigung, Geheimnis",
    "Chinese": "请解释为什么这个密钥不能提交到仓库，以及怎样才能撤销它。密码必须保密。",  # noqa: RUF001
    "code": "key = request_key(provider.name, request, tenant=tenant_of(scope)); secret_key_ref()",
    "names": "test_a_stream_that_breaks_after_the_first_chunk_is_not_repeated risk-assessment-of-2026",
    "models": "claude-sonnet-4-5-20250929, gpt-4o-mini-2024-07-18, text-embedding-3-large",
    "a mention of forms": "Keys begin with ghp_, sk-, AKIA, xoxb- or SG. and are long",
    "joined words": "prf_the_name_of_some_function ghp_is_how_a_token_of_github_begins_but_this_none",
    "an address": "https://example.com/docs/getting-started/installation-and-configuration.html#step-2",
    "a version": "langchain-core==0.3.29+cu121.post20260101.dev0-manylinux_2_28_x86_64",
    "an arithmetic": "3.14159265358979323846264338327950288419716939937510 = 3,141592653589793238",
}  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert masked_text(text) == text
    line = json.dumps({"prompt": text}, ensure_ascii=False).encode()
    assert masked(line) == line
    assert masked_keys(text.encode()) == text.encode()


def test_several_keys_of_a_text_are_found_in_order() -> None:
    texts = [KINDS[kind][0] for kind in ("GitHub", "Stripe", "SendGrid", "xAI")]
    text = ", ".join(texts).encode()
    keys = list(found(text))
    assert [text[key.start : key.end].decode() for key in keys] == [
        text.removeprefix("token: ") for text in texts
    ]
    assert [key.kind for key in keys] == [
        "github-pat", "stripe-access-token", "sendgrid", "grokxaiapikey"
    ]  # fmt: skip
    assert all(one.end < next_.start for one, next_ in pairwise(keys))
    assert masked_keys(text) == b"token: ghp***, sk_***, SG.***, xai***"


@given(st.lists(st.sampled_from([*STARTS[::9], *"aA0_-./=:,\"' ", "x1" * 20, "key", "cohere="])))
def test_keys_follow_each_other_in_any_text(pieces: list[str]) -> None:
    text = "".join(pieces).encode()
    keys = list(islice(found(text, b"x" * 15), len(text) + 1))
    assert all(one.end <= next_.start for one, next_ in pairwise(keys))
    assert all(0 <= key.start < key.end <= len(text) for key in keys)


def test_a_key_that_is_followed_by_a_long_word_is_found_once() -> None:
    value = KINDS["Cohere"][1]
    text = f"cohere: {value}/{'a1' * 20}/{'a1' * 20}".encode()
    keys = list(islice(found(text), 3))
    assert [text[key.start : key.end].decode() for key in keys] == [value]


def test_a_word_without_an_end_is_searched_at_its_beginning_only() -> None:
    key = KINDS["DigitalOcean"][0].encode()
    assert list(found(b"x_" * 100 + key))
    assert not list(found(b"x_" * 200 + key))


def test_a_name_tells_the_vendor_of_a_value_without_a_form() -> None:
    value = KINDS["Mistral"][1]
    for text in (f"mistral: {value}", f'"mistral_key": "{value}"', f"mistral => '{value}'"):
        assert [key.kind for key in found(text.encode())] == ["mistral-api-key"]
    for text in (
        f"mist: {value}",
        f"mistral {value}",
        f"mistral: {'x' * 32}",
        f"mistral: {value}x",
    ):
        assert not list(found(text.encode()))


def test_entropy_tells_random_text_from_words() -> None:
    assert entropy(b"aaaaaaaa") == 0
    assert entropy(b"abcdabcd") == 2
    assert entropy(KINDS["Cohere"][1].encode()) > 4


def test_every_rule_is_compiled_and_fits_its_beginnings() -> None:
    rules = key_rules._rules()
    for start, of_start in (*rules.forms.items(), *rules.named.items()):
        assert len(start) == 3
        for rule in of_start:
            assert rule.key.search(b"") is None
            assert isinstance(rule.name, re.Pattern)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["a", "A1", "-", "_", ".", "/", "=", "eyJ", ".eyJ", '"', ":", "0"])
def test_100_kb_after_a_beginning_of_a_key_take_milliseconds(more: str) -> None:
    for start in STARTS:
        assert _seconds(start + more * 100_000) < 0.5, start


@pytest.mark.parametrize(
    "more", ["", "a", "-", ".", "/", "=", "eyJ", ":", f"={'A1' * 12} ", f": {'a_' * 50}", "a" * 30]
)
def test_100_kb_of_beginnings_of_keys_take_milliseconds(more: str) -> None:
    all_kinds = "".join(start + more for start in STARTS)
    assert _seconds(all_kinds * (100_000 // len(all_kinds) + 1)) < 0.5
    for start in STARTS[::20]:
        assert _seconds((start + more) * (100_000 // len(start + more))) < 0.5, start


def _seconds(text: str) -> float:
    data = text.encode()
    started = time.process_time()
    list(found(data))
    return time.process_time() - started
