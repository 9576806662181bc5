##@ Observability

# Included by the Makefile above while this directory is there.
OBSERVE := docker compose --profile observability

.PHONY: observe
observe: ## Start Prometheus and Grafana beside `make dev` (Docker only)
	$(needs-docker)
	@echo "dashboard http://127.0.0.1:$${GRAFANA_PORT:-3000}   alerts http://127.0.0.1:$${PROMETHEUS_PORT:-9090}/alerts   Ctrl-C stops both"
	@trap '$(OBSERVE) rm --force --stop prometheus grafana' EXIT; trap 'exit 0' INT TERM HUP; $(OBSERVE) up prometheus grafana & wait $$!

.PHONY: rules
rules: ## Check Prometheus' rules, and test when alerts fire (Docker only)
	$(needs-docker)
	@docker run --rm --volume "$$PWD/observability/prometheus:/etc/prometheus:ro" --entrypoint promtool prom/prometheus:v3 check config /etc/prometheus/prometheus.yml
	@docker run --rm --volume "$$PWD/observability/prometheus:/etc/prometheus:ro" --entrypoint promtool prom/prometheus:v3 test rules /etc/prometheus/rules.test.yml
