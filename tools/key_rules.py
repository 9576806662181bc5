"""`make key-rules`: writes the rules for keys of the service from Kingfisher's catalog. No network.

    python -m tools.key_rules [--check]    --check writes nothing, and exits with 1 when a rule has changed

The rules are those of Betterleaks, the successor of gitleaks, and of OSV-SCALIBR's Veles. MongoDB's
package kingfisher-secret-scanner has both and reads them with an API. The Git hook and the log of
the service use the file; the package is needed here only.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tools.key_dialect import Form, Named, split, starts_of

RULES = Path("template/src/app/telemetry/key_rules.json")
PACKAGE = "kingfisher-secret-scanner"
FEWEST = 350  # fewer rules than that: the catalog has another form, and the file is not written

# Half of a pair that is useless without the other half, and no secret.
_NO_SECRET = re.compile(r"-(id|username|name|address|public-key|pub-key)(\.\d+)?$")
_ANY_NAME = {"key", "secret", "token", "access", "password"}
# A web token with two words inside it, searched in a time that grows with the third power; and a
# rule without a variable part, which would refuse its own file (there is one for it below).
_NOT_TAKEN = {"temporal-cloud-api-key", "aws-amazon-bedrock-api-key-short-lived"}
# Forms that the catalog accepts only near other words, or only longer. A key in a log or in a
# commit has no such neighbours.
_ADDED_FORMS = {
    "amazon-bedrock-key": r"bedrock-api-key-[A-Za-z0-9+/=]{20,}",
    "aws-access-key-id": r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "google-oauth-client-secret": r"GOCSPX-[A-Za-z0-9_-]{28}",
    "hugging-face-token": r"hf_[A-Za-z0-9]{34}",
    "model-api-key": r"sk-[A-Za-z0-9_-]{32,}",
    "new-relic-key": r"NR(?:AK|II|AA|RA|JS)-[A-Za-z0-9-]{19,}",
    "slack-token": r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    "vault-token": r"hv[bsr]\.[A-Za-z0-9_-]{20,}",
    "discord-webhook": r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}",
}
_ADDED_NAMED = {
    "aws-secret-access-key": (
        r"secret[_ ]?(?:access)?[_ ]?key|aws[a-z_ ]{0,20}secret",
        r"[A-Za-z0-9/+=]{40}",
        4.2,
    ),
    "azure-storage-account-key": (r"account[_ ]?key", r"[A-Za-z0-9+/]{86}==", 0),
    "telegram-bot-token": (r"bot|chat|telegram", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", 0),
}
_LICENSE = Path(__file__).with_name("key_rules_license.txt")


class Rules(NamedTuple):
    """A line of the file for each rule, and the names of the rules that are left out."""

    forms: list[list[Any]]
    named: list[list[Any]]
    left_out: list[str]


def main(arguments: Sequence[str], path: Path = RULES) -> int:
    made = rules(catalog())
    count = len(made.forms) + len(made.named)
    if count < FEWEST:
        print(f"make key-rules: no file was written: {count} rules only", file=sys.stderr)
        return 1
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    after = text(made)
    changed = len(set(before.splitlines()) ^ set(after.splitlines()))
    print(f"make key-rules: {count} rules, {changed} changed lines, {source()}")
    if "--check" in arguments:
        return 1 if changed else 0
    path.write_text(after, encoding="utf-8")
    return 0


def source() -> str:
    return f"{PACKAGE} {version(PACKAGE)}"


def catalog() -> list[dict[str, Any]]:
    kingfisher: Any = import_module("kingfisher_sdk")
    known = kingfisher.Rules(confidence="low", cache=False)
    return [known.detail(each["id"]) for each in known.metadata()]


def rules(details: Iterable[dict[str, Any]]) -> Rules:
    made = Rules([], [], [])
    for kind, pattern in _ADDED_FORMS.items():
        made.forms.append(_line(kind, split(pattern), 0))
    for kind, (name, value, least) in _ADDED_NAMED.items():
        made.named.append(_line(kind, Named(_starts(name), name, value), least))
    for detail in details:
        if detail["visible"] and not _NO_SECRET.search(detail["id"]):
            _add(made, detail)
    return Rules(sorted(made.forms), sorted(made.named), sorted(made.left_out))


def _starts(name: str) -> list[str]:
    return sorted({each[:3] for each in name.split("|")})


def _add(made: Rules, detail: dict[str, Any]) -> None:
    kind = re.sub(r"\.\d+$", "", re.split(r"[./]", detail["id"], maxsplit=1)[1])
    kind = kind.removeprefix("secrets/")
    part = split(detail["detection_regex"])
    if part is None or kind in _NOT_TAKEN or _is_any_key(part):
        made.left_out.append(kind)
        return
    lines = made.forms if isinstance(part, Form) else made.named
    lines.append(_line(kind, part, least_entropy(detail["betterleaks_filter"])))


def _is_any_key(part: Form | Named) -> bool:
    """A value without a form after `key=`: the log masks these anyway, and a commit has hashes there."""
    if isinstance(part, Form):
        return False
    generic = not _ANY_NAME.isdisjoint(re.findall(r"\w+", part.name))
    return generic and starts_of(part.value) is None


def _line(kind: str, part: Form | Named | None, least: float) -> list[Any]:
    assert part is not None, kind  # noqa: S101 - an added rule is a form
    if isinstance(part, Form):
        return [kind, part.starts, part.pattern]
    return [kind, part.starts, part.name, part.value, least]


def least_entropy(filtered: object) -> float:
    """The bits per character below which the catalog takes a value for no secret."""
    return max(_bounds(filtered), default=0.0)


def _bounds(node: object) -> Iterator[float]:
    if isinstance(node, list):
        for each in node:
            yield from _bounds(each)
    elif isinstance(node, dict):
        if node.get("operator") in {"<", "<="} and _is_entropy(node["left"]):
            yield float(node["right"]["value"])
        else:
            yield from _bounds(list(node.values()))


def _is_entropy(node: dict[str, Any]) -> bool:
    return node.get("kind") == "call" and node["callee"].get("value") == "entropy"


def text(made: Rules) -> str:
    """JSON with a line for each rule, so that a comparison of two versions can be read."""
    parts = [
        f'"about": {json.dumps(f"Written by `make key-rules` of the template from {source()}; edits here are lost.")}',
        f'"license": {_lines(_LICENSE.read_text(encoding="utf-8").splitlines())}',
        f'"forms": {_lines(made.forms)}',
        f'"named": {_lines(made.named)}',
        f'"left_out": {json.dumps(made.left_out)}',
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(values: Iterable[object]) -> str:
    return "[\n" + ",\n".join(json.dumps(each) for each in values) + "\n]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
