#!/bin/sh
# Make .venv, with the uv that is locked; what then fills it is in scripts/locks.
# Usage: install.sh PYTHON
set -eu
python=$1
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed; install it, or say where it is: make PYTHON=/path/to/python3 …" >&2
    exit 1
fi
echo "Installing into .venv from the lock ($("$python" --version))"
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --clear .venv || {
        echo "'$python -m venv' does not work; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    }
fi
# uv comes from the lock as well: its own lines, so its hash is checked like any other's.
sed -n '/^uv==/,/[^\\]$/p' requirements-dev.txt >.venv/uv.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.txt
