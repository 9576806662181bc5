# The requirements files are the lock: uv writes them; uv, pip-tools and pip can install from them.
LOCKS := requirements-dev.txt

define sync
	@$(STEP) $(UV_PIP) sync $(TO_VENV) --require-hashes requirements-dev.txt
endef

define relock
	$(COMPILE) --output-file requirements.txt $(UPGRADE)
	$(COMPILE) --output-file requirements-dev.txt --group dev --constraint requirements.txt $(UPGRADE)
endef
