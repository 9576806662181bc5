#!/bin/sh
# Lay the template's newest version over this project, then do what follows from it.
# Usage: update.sh COPIER… (the command that starts Copier, and what it shall do)
set -eu

# A function, because a shell reads a script as it goes, and the update may replace this one.
main() {
    # Git is what undoes an update, so there must be nothing that it does not hold.
    changed=$(git status --porcelain) || exit
    if [ -n "$changed" ]; then
        echo "make update: commit your changes first, so that Git can undo the update:" >&2
        echo "$changed" >&2
        exit 1
    fi
    "$@"
    # Before make, which could not read a Makefile with conflicts.
    sh scripts/conflicts.sh
    # The new version's target: what has to follow from a version, that version knows.
    exec make updated
}

main "$@"
