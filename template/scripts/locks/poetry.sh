#!/bin/sh
# Put Poetry into an environment of its own, below .venv, as requirements-poetry.txt locks it.
# Usage: poetry.sh [--upgrade]    (--upgrade: move that lock first)
set -eu
lock=requirements-poetry.txt
if [ "${1:-}" = --upgrade ]; then
    echo 'poetry>=2.5' | .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-strip-extras \
        --python-version 3.11 --custom-compile-command "make upgrade" --upgrade --output-file "$lock" -
fi
[ -e .venv/poetry ] || .venv/bin/uv venv --quiet --python .venv/bin/python .venv/poetry
VIRTUAL_ENV=.venv/poetry .venv/bin/uv pip sync --quiet --require-hashes "$lock"
