#!/bin/sh
# Install Poetry into an environment of its own under .venv, with the versions of requirements-poetry.txt.
# Usage: poetry.sh [--upgrade …]    (upgrades that lock first, with these options of uv's)
set -eu
lock=requirements-poetry.txt
if [ $# -gt 0 ]; then
    echo 'poetry>=2.5' | .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-strip-extras \
        --python-version 3.11 --custom-compile-command "make upgrade" "$@" --output-file "$lock" -
fi
[ -e .venv/poetry ] || sh scripts/step.sh .venv/bin/uv venv --python .venv/bin/python .venv/poetry
sh scripts/step.sh .venv/bin/uv pip sync --python .venv/poetry/bin/python --require-hashes "$lock"
