"""`make key-rules` writes the rules of the catalog in a form that the service matches at one place."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.engines import REPOSITORY
from tools import key_rules
from tools.key_dialect import Form, Named, split, starts_of

END = r"""(?:\\?['"\x60]|[\s;]|\\[nr]|$)"""
SIGN = r"""(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}"""
NO_MORE = "(?![A-Za-z0-9])"


def entropy_below(bits: float) -> dict[str, Any]:
    entropy = {"kind": "call", "callee": {"kind": "identifier", "value": "entropy"}}
    other = {"kind": "call", "callee": {"kind": "identifier", "value": "matchesAny"}}
    below = {"operator": "<=", "left": entropy, "right": {"value": str(bits)}}
    return {"operator": "||", "left": other, "right": below}


def rule(name: str, expression: str, **more: object) -> dict[str, Any]:
    detail = {"id": f"betterleaks.{name}", "detection_regex": expression, "visible": True}
    return {**detail, "betterleaks_filter": entropy_below(3.5), **more}


@pytest.mark.parametrize(
    ("expression", "form"),
    [
        (r"ghp_[0-9a-zA-Z]{36}", Form(["ghp"], r"ghp_[0-9a-zA-Z]{36}")),
        (rf"\b(GOCx[\w-]{{35}}){END}", Form(["GOC"], rf"GOCx[\w-]{{35}}{NO_MORE}")),
        (rf"\b(p8e-(?i)[a-z]{{9}}){END}", Form(["p8e"], rf"p8e-(?i:[a-z]{{9}}){NO_MORE}")),
        (r"(?:ghu|ghs)_[a-z]{9}", Form(["ghs", "ghu"], r"(?:ghu|ghs)_[a-z]{9}")),
        (r"\b(cf[ua]t_[a-z]{9})\b", Form(["cfa", "cfu"], rf"cf[ua]t_[a-z]{{9}}{NO_MORE}")),
        (r"hooks.slack.com/[a-z]{9}", Form(["hoo"], r"hooks\.slack\.com/[a-z]{9}")),
        (r"\b(pat[[:alnum:]]{14})\b", Form(["pat"], rf"pat[a-zA-Z0-9]{{14}}{NO_MORE}")),
        (r"xoxd-[a-z]{100,}(?:[^\w-]|\z)", Form(["xox"], rf"xoxd-[a-z]{{100,4096}}{NO_MORE}")),
    ],
)
def test_a_form_is_matched_at_its_beginning(expression: str, form: Form) -> None:
    assert split(expression) == form
    re.compile(form.pattern.encode())


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        (
            f"(?i)(?:adobe){SIGN}([a-f0-9]{{32}}){END}",
            Named(["ado"], "(?:adobe)", rf"(?i:[a-f0-9]{{32}}){NO_MORE}"),
        ),
        (
            rf"(?i)[\w.-]{{0,50}}?(?:cohere|CO_API_KEY){SIGN}([a-z]{{40}}){END}",
            Named(["co_", "coh"], "(?:cohere|co_api_key)", rf"(?i:[a-z]{{40}}){NO_MORE}"),
        ),
    ],
)
def test_a_value_without_a_form_has_the_name_before_it(expression: str, named: Named) -> None:
    assert split(expression) == named


@pytest.mark.parametrize(
    "expression",
    [
        r"(?i)\bbitly(?:.|[\n\r]){0,32}?([a-f0-9]{40})\b",
        r"[a-z0-9]{14}\.atlasv1\.[a-z0-9]{60}",
        r"\{[^{]+private_key[^}]+\}",
        r"curl\s-u[ ]([a-z]{9})",
        r"abc(?=d)[",
    ],
)
def test_a_rule_that_would_be_searched_in_the_whole_text_is_left_out(expression: str) -> None:
    assert split(expression) is None


def test_the_beginnings_of_an_expression_are_all_of_them() -> None:
    assert starts_of("(?i:ab)[12]") == ["AB1", "AB2", "Ab1", "Ab2", "aB1", "aB2", "ab1", "ab2"]
    assert starts_of("a{2,}b") is None
    assert starts_of("(?:a|bc)d[0-2]x") == ["ad0", "ad1", "ad2", "bcd"]
    assert starts_of("[a-z][a-z]x") is None


def test_rules_that_tell_nothing_or_are_no_secret_are_left_out() -> None:
    made = key_rules.rules(
        [
            rule("one-token.2", r"one_[a-z]{9}"),
            rule("half-of-a-pair", r"two_[a-z]{9}", visible=False),
            rule("three-client-id", r"three_[a-z]{9}"),
            rule("any-key", f"(?i)(?:vendor|key){SIGN}([a-z0-9]{{30}}){END}"),
            rule("four-key", f"(?i)(?:four){SIGN}([a-z0-9]{{30}}){END}"),
        ]
    )
    kinds = {each[0] for each in (*made.forms, *made.named)}
    assert kinds >= {"one-token", "four-key", "model-api-key", "aws-secret-access-key"}
    assert not kinds & {"half-of-a-pair", "three-client-id", "any-key"}
    assert made.left_out == ["any-key"]
    assert next(each for each in made.named if each[0] == "four-key")[-1] == 3.5


def test_a_catalog_of_another_form_does_not_replace_the_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rules.json"
    path.write_text("as it was")
    monkeypatch.setattr(key_rules, "catalog", list)
    assert key_rules.main([], path) == 1
    assert path.read_text() == "as it was"
    assert "no file was written" in capsys.readouterr().err


@pytest.mark.slow
def test_the_rules_of_the_service_are_those_of_the_locked_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = key_rules.catalog()
    monkeypatch.setattr(key_rules, "catalog", lambda: details)
    shipped = REPOSITORY / key_rules.RULES
    assert key_rules.main(["--check"], shipped) == 0, "make key-rules"
    old = tmp_path / "rules.json"
    old.write_text(shipped.read_text().replace('["github-pat"', '["github"', 1))
    before = old.read_text()
    assert key_rules.main(["--check"], old) == 1
    assert old.read_text() == before
    assert key_rules.main([], old) == 0
    assert json.loads(old.read_text()) == json.loads(shipped.read_text())
