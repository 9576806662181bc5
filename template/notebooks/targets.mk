##@ Notebooks

.PHONY: notebook
notebook: $(BIN)/.notebook ## Open notebooks/ in JupyterLab
	@# Kernels start up here, as the service does: .env and config.yaml are read where a process stands.
	@exec $(BIN)/jupyter lab --notebook-dir notebooks --MappingKernelManager.root_dir="$$PWD" $(ARGS)

# In addition to the locked packages, and only on request: it adds 90 MB.
$(BIN)/.notebook: requirements-notebook.txt $(BIN)/.installed
	@echo "Installing JupyterLab into .venv from requirements-notebook.txt, once"
	@$(STEP) $(UV_PIP) install $(TO_VENV) --require-hashes --requirement requirements-notebook.txt
	@touch $@

.PHONY: lock-notebook
lock-notebook: $(BIN)/.installed
	echo 'jupyterlab>=4.5' | $(PIN) --output-file requirements-notebook.txt --constraint requirements-dev.txt $(UPGRADE) -

define format-notebooks
	$(BIN)/jupytext --quiet --sync notebooks/*.ipynb
	$(BIN)/nbstripout notebooks/*.ipynb
endef
