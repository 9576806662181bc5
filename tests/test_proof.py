"""The table tells what was shown, and what was not."""

from tests.proof import STAGES, Proof, rows_of, table


def test_what_was_begun_and_never_shown_has_failed() -> None:
    noted: list[tuple[str, object]] = []
    proof = Proof(lambda name, value: noted.append((name, value)))
    proof.begin("defaults", "installed", "linted")
    proof.show("defaults", "installed", how="on 3.13")
    assert rows_of(noted) == {"defaults": {"installed": "on 3.13", "linted": "FAILED"}}


def test_what_was_not_begun_is_a_dash() -> None:
    header, line = table({"ci=none": {"installed": "= defaults", "linted": "yes"}})
    assert header.split() == ["combination", *STAGES]
    assert line.split() == ["ci=none", "=", "defaults", "yes", "-", "-", "-", "-"]
