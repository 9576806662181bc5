#!/bin/sh
# Run one step of an installation without its output; if it fails, print the output and the next step.
# Usage: step.sh COMMAND…
set -u
# Not in .venv, which another step of `make -j` may be making.
output=$(mktemp) || exit
trap 'rm -f "$output"' EXIT
trap 'exit 130' INT TERM HUP
"$@" >"$output" 2>&1
code=$?
if [ "$code" -ne 0 ]; then
    cat "$output" >&2
    echo "make: '$1' failed ($code), see above: nothing was marked as done." >&2
    echo "Fix it and run the same command again; 'make doctor' may know why" >&2
fi
exit "$code"
