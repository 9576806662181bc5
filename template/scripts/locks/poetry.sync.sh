#!/bin/sh
# Run `poetry sync` as a step. If the index has no files for Poetry, print that and the way on, instead of Poetry's advice.
# Usage: poetry.sync.sh POETRY… sync [OPTION]…
set -u
output=$(mktemp)
trap 'rm -f "$output"' EXIT
sh scripts/step.sh "$@" 2>"$output" && exit
code=$?
package=$(sed -n '/.*Unable to find installation candidates for /{s///p;q;}' "$output")
if [ -n "$package" ]; then
    cat >&2 <<TEXT
make install: the package index has no file of $package for Poetry,
which reads pages that pip and uv do not need. Use another index, or uv's lock:
  .venv/bin/uv tool run copier update --defaults --data lock=uv && make updated
TEXT
else
    cat "$output" >&2
fi
exit "$code"
