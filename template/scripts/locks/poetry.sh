#!/bin/sh
# Put Poetry into an environment of its own, below .venv, as requirements-poetry.txt locks it.
# Usage: poetry.sh [--upgrade …]    (move that lock first, with these options of uv's)
set -eu
lock=requirements-poetry.txt
if [ $# -gt 0 ]; then
    echo 'poetry>=2.5' | .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-strip-extras \
        --python-version 3.11 --custom-compile-command "make upgrade" "$@" --output-file "$lock" -
fi
[ -e .venv/poetry ] || .venv/bin/uv venv --quiet --python .venv/bin/python .venv/poetry
VIRTUAL_ENV=.venv/poetry .venv/bin/uv pip sync --quiet --require-hashes "$lock"
