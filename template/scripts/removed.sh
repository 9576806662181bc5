#!/bin/sh
# List the files that the update removed or moved, although this project had changed them.
# Copier keeps a project's changes only in files that still exist; Git has the others.
set -eu
# The commit that brought the version before this update. What was committed since is the project's own.
last=$(git log -1 --format=%H -G'^_commit:' -- .copier-answers.yml)
[ -n "$last" ] || exit 0
own=$(
    git diff --relative --name-only --diff-filter=D --no-renames HEAD | while read -r file; do
        if [ -n "$(git rev-list -1 "$last..HEAD" -- "$file")" ]; then echo "$file"; fi
    done
)
if [ -n "$own" ]; then
    echo "make updated: the template has moved or removed these files, which you
had changed. Bring your changes to the new place ('git show HEAD:FILE'):
$own"
fi
