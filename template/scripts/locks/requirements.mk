# The requirements files are the lock: uv makes them; uv, pip-tools and pip install them.
LOCKS := requirements-dev.txt

define sync
	@VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --require-hashes requirements-dev.txt
endef

define relock
	$(COMPILE) --output-file requirements.txt $(UPGRADE)
	$(COMPILE) --output-file requirements-dev.txt --group dev --constraint requirements.txt $(UPGRADE)
endef
