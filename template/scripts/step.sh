#!/bin/sh
# Run one step of an installation without its output; if it fails, print the output and the next step.
# Usage: step.sh COMMAND…
set -u
output=.venv/step.$$.txt
mkdir -p .venv
trap 'rm -f "$output"' EXIT
trap 'exit 130' INT TERM HUP
"$@" >"$output" 2>&1
code=$?
if [ "$code" -ne 0 ]; then
    cat "$output" >&2
    echo "make: '$1' failed ($code), see above: nothing was marked as done. Fix it and run the same command again; 'make doctor' may know why" >&2
fi
exit "$code"
