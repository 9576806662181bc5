#!/bin/sh
# Write the first uv.lock, with the versions of requirements-dev.txt, with which this project was made and tested.
# The file is not part of the template, because it contains the address of a package index, which should be yours.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    cat pyproject.toml
    printf '\n[tool.uv]\nconstraint-dependencies = [\n'
    sed -n 's/^\([a-z0-9.-]*\)\(\[[^]]*\]\)\{0,1\}\(==.*[^ ]\) *\\$/    "\1\3",/p' requirements-dev.txt
    echo ']'
} >"$work/pyproject.toml"
.venv/bin/uv lock --quiet --project "$work"
cp "$work/uv.lock" uv.lock
# Once more, without the constraints: uv keeps locked versions.
.venv/bin/uv lock --quiet
echo "uv.lock is new: commit it"
