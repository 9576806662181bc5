# poetry.lock is the lock, and .venv has its versions. The requirements files have the same versions: the image is built from them,
# without Poetry. Poetry itself is locked in requirements-poetry.txt.
LOCKS := poetry.lock requirements-dev.txt
POETRY ?= .venv/poetry/bin/poetry
IN_VENV := VIRTUAL_ENV="$$PWD/.venv"
AGED = $(if $(and $(UPGRADE),$(MIN_AGE_DAYS)),POETRY_SOLVER_MIN_RELEASE_AGE=$(MIN_AGE_DAYS))

define sync
	@$(if $(filter .venv/%,$(POETRY)),sh scripts/locks/poetry.sh)
	@$(IN_VENV) sh scripts/locks/poetry.sync.sh $(POETRY) sync --no-root $(addprefix --extras ,$(WITH_EXTRAS))
endef

define relock
	$(AGED) $(IN_VENV) $(POETRY) lock $(if $(UPGRADE),--regenerate)
	@sed -E -f scripts/locks/poetry.sed poetry.lock >.venv/poetry.lock && cp .venv/poetry.lock poetry.lock
	$(BIN)/python scripts/locks/versions.py poetry.lock >.venv/versions.txt
	$(COMPILE) --output-file requirements.txt --constraint .venv/versions.txt
	$(COMPILE) --output-file requirements-dev.txt --group dev --constraint .venv/versions.txt
	@$(if $(UPGRADE),sh scripts/locks/poetry.sh $(UPGRADE))
endef

define check-locks
	$(IN_VENV) $(STEP) $(POETRY) check --lock
	$(BIN)/python scripts/locks/versions.py poetry.lock requirements-dev.txt
endef
