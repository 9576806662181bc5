#!/bin/sh
# Write the first uv.lock, at the versions of requirements-dev.txt: those that this project was made and tested with.
# It does not come with the project, because it holds the address of an index, and that shall be yours.
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
# Once more, without the constraints: uv keeps what is locked.
.venv/bin/uv lock --quiet
echo "uv.lock is new: commit it"
