#!/bin/sh
# Fail and list the files in which the update and this project changed the same lines.
set -eu
unsolved=$(
    git grep --untracked --files-with-matches '^<<<<<<< before updating' || true
    git ls-files --others --exclude-standard -- '*.rej'
)
if [ -n "$unsolved" ]; then
    echo "make updated: both sides changed the same lines.
Edit these (delete *.rej), then 'make updated':" >&2
    echo "$unsolved" >&2
    exit 1
fi
