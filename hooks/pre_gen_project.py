"""Cookiecutter renders and runs this when all answers are known and nothing is written yet."""

import json
import sys
from pathlib import Path

RENDERED = r"""=={ {"answers": cookiecutter, "given": _cookiecutter} | tojson }=="""
sys.path.insert(0, str(Path(json.loads(RENDERED)["answers"]["_repo_dir"], "hooks")))

from bridge import context, exclusions, outcome, rules  # noqa: E402


def main() -> int:
    run = context.parse(RENDERED)
    if refused := rules.refusals(run.root, run.answers, run.given):
        print("\n".join(refused), file=sys.stderr)
        outcome.remove_copy(run.root)
        return 1
    exclusions.remove_excluded(run.root, run.directory, run.answers)
    outcome.write_answers(run)
    outcome.write_next_steps(run, Path.cwd())
    return 0


if __name__ == "__main__":
    sys.exit(main())
