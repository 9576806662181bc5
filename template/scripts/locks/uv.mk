# uv.lock is the lock, and .venv holds what it names. The requirements files name the same versions: the image
# is built from them, and the first uv.lock is made from them.
LOCKS := $(wildcard uv.lock) requirements-dev.txt
# The Python of .venv, also where it is not the one of .python-version.
export UV_PYTHON := $(CURDIR)/.venv/bin/python

define sync
	@[ -e uv.lock ] || sh scripts/locks/first-uv-lock.sh
	@$(BIN)/uv sync --quiet --frozen --no-install-project $(addprefix --extra ,$(EXTRAS))
endef

define relock
	$(BIN)/uv lock --quiet $(UPGRADE)
	@# Once more: uv keeps what is locked, but not that a release had to be of some age.
	@$(if $(UPGRADE),$(BIN)/uv lock --quiet)
	$(BIN)/python scripts/locks/versions.py uv.lock >.venv/versions.txt
	$(COMPILE) --output-file requirements.txt --constraint .venv/versions.txt
	$(COMPILE) --output-file requirements-dev.txt --group dev --constraint .venv/versions.txt
endef

define check-locks
	$(BIN)/uv lock --quiet --check
	$(BIN)/python scripts/locks/versions.py uv.lock requirements-dev.txt
endef
