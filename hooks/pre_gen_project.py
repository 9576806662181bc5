"""Cookiecutter renders this and runs it after the questions, before it writes any file."""

import json
import sys
from pathlib import Path

RENDERED = r"""=={ {"answers": cookiecutter, "given": _cookiecutter} | tojson }=="""
sys.path.insert(0, str(Path(json.loads(RENDERED)["answers"]["_repo_dir"], "hooks")))

from bridge import context, exclusions, origin, outcome, remote, rules  # noqa: E402


def main() -> int:
    run = context.parse(RENDERED)
    if refused := rules.refusals(run.root, run.answers, run.given):
        print("\n".join(refused), file=sys.stderr)
        outcome.remove_copy(run.root)
        return 1
    exclusions.remove_excluded(run.root, run.directory, run.answers)
    found = origin.find(run.template, run.output_dir, run.root)
    outcome.write_answers(run, found)
    for line in remote.warnings(found.directory) if found.directory else ():
        print(f"note: {line}", file=sys.stderr)
    outcome.write_next_steps(run, Path.cwd())
    return 0


if __name__ == "__main__":
    sys.exit(main())
