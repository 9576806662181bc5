#!/bin/sh
# The Git hook of this service: checks the service's files in a commit. Git runs it in the top directory of the repository.
# Usage: check_commit.sh PREFIX    (the service's directory in the repository: empty, or with a slash at the end)
set -u
prefix=$1
python=${prefix}.venv/bin/python

if git diff --cached --quiet -- "${prefix:-.}"; then exit 0; fi
# After `make clean`, or in a new worktree: any Python can search for keys.
check_keys() {
    checked=$(mktemp -d) || return 0
    trap 'rm -rf "$checked"' EXIT
    git diff --cached --name-only --diff-filter=d -z -- "${prefix:-.}" \
        | git checkout-index -z --stdin --prefix="$checked/" || return 0
    script=$PWD/${prefix}scripts/no_keys.py
    (cd "$checked" && find . -type f -exec "$1" "$script" {} +)
}
if ! "$python" -c 'import pre_commit' 2>/dev/null; then
    for other in python3 python3.14 python3.13 python3.12 python3.11; do
        "$other" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo "This commit was checked for keys only: ${prefix}.venv is missing.
Create it: make install" >&2
        check_keys "$other"
        exit
    done
    echo "This commit was not checked, not even for keys: ${prefix}.venv is missing.
Create it: make install" >&2
    exit 0
fi
# The first commit has files of the template only. These two checks take a minute, and `make lint` has them too.
if ! git cat-file -e "HEAD:${prefix}pyproject.toml" 2>/dev/null; then
    export SKIP="${SKIP:+$SKIP,}black,mypy"
fi
config=${prefix}.pre-commit-config.yaml
if [ -n "$prefix" ]; then
    config=${prefix}.venv/pre-commit.yaml
    "$python" "${prefix}scripts/part_checks.py" "$prefix" >"$config" || exit 1
fi
exec "$python" -m pre_commit run --config "$config"
