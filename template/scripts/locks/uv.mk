# uv.lock is the lock, and .venv has its versions. The requirements files have the same versions: the image is built from them, and
# the first uv.lock is made from them.
LOCKS := $(wildcard uv.lock) requirements-dev.txt
# The Python of .venv, even if .python-version names another one.
export UV_PYTHON := $(CURDIR)/.venv/bin/python

define sync
	@[ -e uv.lock ] || sh scripts/locks/first-uv-lock.sh
	@$(STEP) $(BIN)/uv sync --frozen --no-install-project $(addprefix --extra ,$(WITH_EXTRAS))
endef

define relock
	@# After `make update ARGS="-d lock=uv"`: the packages are installed already, so `sync` has not made the lock.
	@[ -e uv.lock ] || sh scripts/locks/first-uv-lock.sh
	$(BIN)/uv lock --quiet $(UPGRADE)
	@# Once more, without the age: uv keeps locked versions, but must not store the minimum age in the lock.
	@$(if $(UPGRADE),$(BIN)/uv lock --quiet)
	$(BIN)/python scripts/locks/versions.py uv.lock >.venv/versions.txt
	$(COMPILE) --output-file requirements.txt --constraint .venv/versions.txt
	$(COMPILE) --output-file requirements-dev.txt --group dev --constraint .venv/versions.txt
endef

define check-locks
	$(STEP) $(BIN)/uv lock --check
	$(BIN)/python scripts/locks/versions.py uv.lock requirements-dev.txt
endef
