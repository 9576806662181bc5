##@ Evaluation

.PHONY: eval
eval: $(BIN)/.installed ## Ask a data set and compare with the run before (ARGS="--min-pass 0.9"; see evals/README.md)
	@$(BIN)/python -m evals $(ARGS)
