#!/bin/sh
# Create .venv with the locked version of uv; scripts/locks then installs the packages.
# Usage: install.sh PYTHON
set -eu
python=$1
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed; install it, or give its path:
make PYTHON=/path/to/python3 …" >&2
    exit 1
fi
echo "Installing into .venv from the lock ($("$python" --version))"
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --clear .venv || {
        echo "'$python -m venv' does not work; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    }
fi
# These two can only be set in uv.toml, and no option of uv's overrides them.
for config in "${UV_CONFIG_FILE:-}" "${XDG_CONFIG_HOME:-${HOME:-}/.config}/uv/uv.toml" /etc/uv/uv.toml; do
    if [ -z "${UV_NO_CONFIG:-}" ] && grep -Eqs '^[[:space:]]*(pip *[.] *)?(target|prefix)[[:space:]]*=' "$config"; then
        echo "make install: $config has a target or a prefix,
so uv would install outside .venv: remove that line, or set UV_NO_CONFIG=1" >&2
        exit 1
    fi
done
# uv is installed from its own lines of the lock, so its hash is checked like any other's.
sed -n '/^uv==/,/[^\\]$/p' requirements-dev.txt >.venv/uv.txt
# On the command line, because these override pip.conf, which may contain `user = true` or another target.
sh scripts/step.sh .venv/bin/python -m pip install --disable-pip-version-check --require-hashes \
    --no-user --target= --prefix="$PWD/.venv" --root=/ --requirement .venv/uv.txt
