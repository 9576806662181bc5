#!/bin/sh
# Run a command in a part of the repository, with the paths of files as they are there.
# Usage: in_part.sh PREFIX COMMAND [ARGUMENT OR FILE]…    (in the top directory of the repository)
set -u
prefix=$1
shift
# Git gives hooks a path that is relative to the top directory.
case ${GIT_INDEX_FILE:-/} in
    /*) ;;
    *) export GIT_INDEX_FILE="$PWD/$GIT_INDEX_FILE" ;;
esac
for word in "$@"; do
    shift
    set -- "$@" "${word#"$prefix"}"
done
cd "$prefix" && exec "$@"
