"""The table shows the stages that passed, failed or did not run."""

from tests.proof import STAGES, Proof, rows_of, table


def test_a_stage_that_began_and_did_not_pass_has_failed() -> None:
    noted: list[tuple[str, object]] = []
    proof = Proof(lambda name, value: noted.append((name, value)))
    proof.begin("defaults", "installed", "linted")
    proof.show("defaults", "installed", how="on 3.13")
    assert rows_of(noted) == {"defaults": {"installed": "on 3.13", "linted": "FAILED"}}


def test_a_stage_that_did_not_begin_is_a_dash() -> None:
    header, line = table({"ci=none": {"installed": "= defaults", "linted": "yes"}})
    assert header.split() == ["combination", *STAGES]
    assert line.split() == ["ci=none", "=", "defaults", "yes", "-", "-", "-", "-"]
